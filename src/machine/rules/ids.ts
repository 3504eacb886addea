/** Names: buses, SMMUs and devices share one name space, regions have their own. */
import { errorRule, isReported, type Reporter, type Value } from '../diagnostics.js';
import { byOffset, type Model } from '../model.js';

export const duplicateId = errorRule(
  'duplicate-id',
  'An id stands twice in one name space: buses, SMMUs and devices share one, memory regions have their own.',
);

export const rules = [duplicateId] as const;

interface Named {
  readonly what: string;
  readonly id: Value<string>;
}

export function checkIds(model: Model, reporter: Reporter): void {
  const named = (what: string, items: readonly { readonly id: Value<string> }[]): Named[] =>
    items.map(({ id }) => ({ what, id }));
  const itemsOf = <T>(entities: readonly { readonly item: T }[]): T[] => entities.map(({ item }) => item);
  checkNameSpace(reporter, named('region', model.regions));
  checkNameSpace(reporter, [
    ...named('bus', itemsOf(model.buses)),
    ...named('SMMU', itemsOf(model.smmus)),
    ...named('device', itemsOf(model.devices)),
  ]);
}

function checkNameSpace(reporter: Reporter, named: readonly Named[]): void {
  const first = new Map<string, Named>();
  for (const each of [...named].sort((a, b) => byOffset(a.id, b.id))) {
    const id = each.id.value;
    if (id === undefined || isReported(each.id)) continue;
    const owner = first.get(id);
    if (owner === undefined) first.set(id, each);
    else {
      const message = `${each.what} '${id}' has the id of ${owner.what} '${id}' above it`;
      reporter.value(duplicateId, each.id, message, 'give one of them another id');
    }
  }
}
