/** 1 consumer, 3 consumers, 2,740 rows. */
export function many(count: number, word: string, plural = `${word}s`): string {
  return `${count.toLocaleString("en")} ${count === 1 ? word : plural}`;
}
