// Whether a key belongs to a conversion (of Japanese, Chinese and others), not to the field.

const OF_A_CONVERSION = 229; // Safari ends it before the key that has ended it

export function isComposing({ isComposing, keyCode }: KeyboardEvent): boolean {
  return isComposing || keyCode === OF_A_CONVERSION;
}
