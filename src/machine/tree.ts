/**
 * YAML 1.2 as a plain tree of maps, lists and scalars with the place of each and the text of each scalar.
 *
 * The only reader of the yaml package. Scalars stay text: `02.0` is a slot and a function here and no number,
 * and an address must not lose bits in a double. Aliases are followed, and whatever stands behind one has the
 * place of the alias: that is where the author used it. Merge keys are no part of YAML 1.2.
 */
import {
  type Document,
  isAlias,
  isCollection,
  isMap,
  isScalar,
  isSeq,
  type Node,
  type ParsedNode,
  parseDocument,
  type Scalar,
  visit,
} from 'yaml';

export interface ScalarNode {
  readonly kind: 'scalar';
  readonly offset: number;
  readonly text: string;
  /** Written without quotes, so that YAML takes `5`, `true` and `~` for more than text. */
  readonly plain: boolean;
  readonly fromCommandLine?: boolean;
}

export interface ListNode {
  readonly kind: 'list';
  readonly offset: number;
  readonly items: TreeNode[];
  readonly fromCommandLine?: boolean;
}

export interface MapEntry {
  /** undefined: a key that is no text. */
  readonly key: string | undefined;
  readonly keyOffset: number;
  readonly value: TreeNode;
}

export interface MapNode {
  readonly kind: 'map';
  readonly offset: number;
  readonly entries: MapEntry[];
  readonly fromCommandLine?: boolean;
}

export type TreeNode = ScalarNode | ListNode | MapNode;

export interface SyntaxProblem {
  readonly offset: number;
  readonly message: string;
}

export interface ParsedTree {
  /** undefined: the file holds no document, or is no YAML. */
  readonly root: TreeNode | undefined;
  readonly problems: readonly SyntaxProblem[];
}

/** The parser's time grows with the square of a mapping's length; the largest machines take 100 KiB. */
const MAX_CHARACTERS = 1 << 20;

/** Aliases of aliases multiply; a file that grows beyond this is an attack or a mistake. */
const MAX_NODES = 200_000;

class TreeError extends Error {
  readonly offset: number;

  constructor(offset: number, message: string) {
    super(message);
    this.offset = offset;
  }
}

/** @param start the offset of the text's first character, where it is not the first text of its machine. */
export function parseTree(text: string, start = 0): ParsedTree {
  if (text.length > MAX_CHARACTERS) {
    const message = `the text has more than ${MAX_CHARACTERS} characters, which no machine needs`;
    return { root: undefined, problems: [{ offset: start, message }] };
  }
  const document = parseDocument(text, { prettyErrors: false, version: '1.2', logLevel: 'error' });
  const problems = syntaxProblems(document, start);
  if (problems.length > 0) return { root: undefined, problems };
  try {
    return { root: toTree(document, start), problems: [] };
  } catch (error) {
    if (!(error instanceof TreeError)) throw error;
    return { root: undefined, problems: [{ offset: error.offset, message: error.message }] };
  }
}

/**
 * Every duplicate key, and the first of the other errors: what the parser says after losing its way is an echo.
 */
function syntaxProblems(document: Document.Parsed, start: number): SyntaxProblem[] {
  const problems: SyntaxProblem[] = [];
  for (const error of [...document.errors].sort((a, b) => a.pos[0] - b.pos[0])) {
    problems.push({ offset: start + error.pos[0], message: syntaxMessage(error.code, error.message) });
    if (error.code !== 'DUPLICATE_KEY') break;
  }
  return problems;
}

function syntaxMessage(code: string, message: string): string {
  if (code === 'DUPLICATE_KEY') return 'a key is written twice in one mapping';
  if (code === 'MULTIPLE_DOCS') return 'a second document begins here; a machine file is one';
  if (code === 'RESOURCE_EXHAUSTION') return 'mappings and lists are nested too deeply';
  return message.charAt(0).toLowerCase() + message.slice(1);
}

function toTree(document: Document.Parsed, start: number): TreeNode | undefined {
  if (document.contents === null) return undefined;
  const targets = aliasTargets(document);
  let budget = MAX_NODES;
  const open = new Set<Node>();
  const begin = (node: Node | null): number | undefined => {
    const range = (node as ParsedNode | null)?.range;
    return range ? start + range[0] : undefined;
  };

  const convert = (node: Node | null, fallback: number, pinned: number | undefined): TreeNode => {
    const offset = pinned ?? begin(node) ?? fallback;
    if (--budget < 0) throw new TreeError(offset, `more than ${MAX_NODES} values, aliases followed`);
    if (node === null) return { kind: 'scalar', offset, text: '', plain: true };
    if (isAlias(node)) {
      const target = targets.get(node);
      if (target === undefined)
        throw new TreeError(offset, `no anchor '&${node.source}' stands above this alias`);
      if (open.has(target)) throw new TreeError(offset, `the alias '*${node.source}' contains itself`);
      return convert(target, offset, offset);
    }
    if (!isCollection(node)) return scalar(node as Scalar, offset);
    open.add(node);
    const tree: TreeNode = isMap<Node, Node | null>(node)
      ? {
          kind: 'map',
          offset,
          entries: node.items.map((pair) => entry(pair.key, pair.value, offset, pinned)),
        }
      : {
          kind: 'list',
          offset,
          items: isSeq<Node>(node) ? node.items.map((item) => convert(item, offset, pinned)) : [],
        };
    open.delete(node);
    return tree;
  };

  const entry = (key: Node, value: Node | null, mapOffset: number, pinned: number | undefined): MapEntry => {
    const keyOffset = pinned ?? begin(key) ?? mapOffset;
    const resolved = isAlias(key) ? targets.get(key) : key;
    return {
      key: isScalar(resolved) ? scalar(resolved, keyOffset).text : undefined,
      keyOffset,
      value: convert(value, keyOffset, pinned),
    };
  };

  return convert(document.contents, start, undefined);
}

function scalar(node: Scalar, offset: number): ScalarNode {
  const plain = node.type === 'PLAIN' && node.tag !== 'tag:yaml.org,2002:str';
  return { kind: 'scalar', offset, text: node.source ?? '', plain };
}

/** What each alias stands for: the last anchor of its name above it. */
function aliasTargets(document: Document.Parsed): Map<Node, Node> {
  const anchors = new Map<string, Node>();
  const targets = new Map<Node, Node>();
  visit(document, {
    Node(_key, node) {
      if (isAlias(node)) {
        const target = anchors.get(node.source);
        if (target !== undefined) targets.set(node, target);
      } else if (node.anchor !== undefined) {
        anchors.set(node.anchor, node);
      }
    },
  });
  return targets;
}
