/**
 * Style elements under a policy that forbids them. xterm.js makes `<style>` elements for its theme and cell sizes; the
 * page's content security policy allows style sheets from files and from scripts (CSSOM), not inline ones. While `work`
 * runs, `document.createElement("style")` gives an inert element whose text goes to a constructed sheet.
 */
export function withAdoptedStyles<T>(work: () => T): T {
  const original = document.createElement;
  const make = original.bind(document) as (tag: string, options?: ElementCreationOptions) => HTMLElement;
  document.createElement = ((tag: string, options?: ElementCreationOptions) =>
    tag.toLowerCase() === "style" ? adoptedStyle(make) : make(tag, options)) as typeof document.createElement;
  try {
    return work();
  } finally {
    document.createElement = original;
  }
}

function adoptedStyle(make: (tag: string) => HTMLElement): HTMLElement {
  const sheet = new CSSStyleSheet();
  document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
  const element = make("template");
  let text = "";
  const write = (value: string) => {
    text = value;
    sheet.replaceSync(value);
  };
  Object.defineProperties(element, {
    textContent: { get: () => text, set: write },
    innerHTML: { get: () => text, set: write },
    innerText: { get: () => text, set: write },
    sheet: { get: () => sheet },
  });
  const remove = element.remove.bind(element);
  element.remove = () => {
    document.adoptedStyleSheets = document.adoptedStyleSheets.filter((one) => one !== sheet);
    remove();
  };
  return element;
}
