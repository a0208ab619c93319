// What keeps somebody from using the page at hand, as a list of texts: "kind: where". Contrasts are WCAG 2.2's.
() => {
  const faults = [];
  const all = (selector) => [...document.querySelectorAll(selector)];
  const shown = (element) => element.outerHTML.slice(0, 120);
  const rgba = (text) => [...text.matchAll(/[\d.]+/g)].map((number) => Number(number[0]));
  const channel = (value) => {
    const part = value / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  };
  const luminance = ([red, green, blue]) => 0.2126 * channel(red) + 0.7152 * channel(green) + 0.0722 * channel(blue);
  const contrast = (one, other) => {
    const [dark, light] = [luminance(one), luminance(other)].sort((a, b) => a - b);
    return (light + 0.05) / (dark + 0.05);
  };
  const background = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const colour = rgba(getComputedStyle(each).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };

  if (!document.documentElement.lang) faults.push("no language: html");
  if (!document.title.trim()) faults.push("no title: head");
  if (all("h1").length !== 1) faults.push("not one heading of the first level: " + all("h1").length);
  if (all("main").length !== 1) faults.push("not one main part: " + all("main").length);
  if (document.scripts.length) faults.push("a script: " + shown(document.scripts[0]));
  const excess = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  if (excess > 0) faults.push("scrolls sideways: " + excess);

  const ids = all("[id]").map((element) => element.id);
  for (const id of ids.filter((each, place) => ids.indexOf(each) !== place)) faults.push("an id that stands twice: " + id);
  for (const element of all("[aria-describedby], [aria-labelledby]")) {
    const names = [element.getAttribute("aria-describedby"), element.getAttribute("aria-labelledby")];
    for (const id of names.join(" ").split(" ").filter(Boolean)) {
      if (!document.getElementById(id)) faults.push("a reference that leads nowhere: " + shown(element));
    }
  }
  for (const field of all("input:not([type=hidden]), select, textarea")) {
    if (![...field.labels].some((label) => label.innerText.trim())) faults.push("a field without a label: " + shown(field));
    const border = rgba(getComputedStyle(field).borderTopColor);
    if (contrast(border, background(field.parentElement)) < 3) faults.push("a border is hard to see: " + shown(field));
  }
  for (const element of all("a[href], button, input:not([type=hidden])")) {
    element.focus({ focusVisible: true });
    const style = getComputedStyle(element);
    if (style.outlineStyle === "none" || parseFloat(style.outlineWidth) < 1) faults.push("no focus to be seen: " + shown(element));
  }
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !element.getClientRects().length) continue;
    const style = getComputedStyle(element);
    const size = parseFloat(style.fontSize);
    const least = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700) ? 3 : 4.5;
    const found = contrast(rgba(style.color), background(element));
    if (found < least) faults.push(`text is hard to read: ${found.toFixed(2)} ${shown(element)}`);
  }
  return faults;
}
