/** Interrupt numbers: each once in the machine. */
import { errorRule, type Reporter, usable, type Value } from '../diagnostics.js';
import { IRQ_NAMES } from '../file-shape.js';
import { byOffset, type Model } from '../model.js';

export const irqClash = errorRule('irq-clash', 'One interrupt number is used twice.');

export const rules = [irqClash] as const;

export function checkInterrupts(model: Model, reporter: Reporter): void {
  const outputs = model.smmus.flatMap(({ item }) =>
    IRQ_NAMES.map((output) => ({
      name: `${output} of SMMU ${item.label}`,
      value: item.irqs.value?.[output],
    })),
  );
  const given = outputs.filter((o): o is { name: string; value: Value<number> } => o.value !== undefined);
  const owners = new Map<number, string>();
  for (const { name, value } of given.sort((a, b) => byOffset(a.value, b.value))) {
    const number = usable(value);
    if (number === undefined) continue;
    const owner = owners.get(number);
    if (owner === undefined) owners.set(number, name);
    else {
      const message = `interrupt ${number} is ${owner} and ${name}`;
      reporter.value(irqClash, value, message, 'choose another number, or leave it out to have a free one');
    }
  }
}
