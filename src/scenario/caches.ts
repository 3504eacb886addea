/** What the SMMUs of a scenario cache: words and type for those above, without the code that replays. */
export { CACHINGS, type CacheSettings, REPLACEMENTS } from '../smmu/config.js';
