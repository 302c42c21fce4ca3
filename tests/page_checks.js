// Faults of a page as it is drawn: text that is hard to read, content cut at the right edge, figures without a name.
// The cells of a heat map have text and ground of their own.
function luminance([red, green, blue]) {
  const linear = [red, green, blue].map(part => part / 255).map(
    part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
  return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
}
function parts(colour) { return colour.match(/[\d.]+/g).map(Number); }
function background(element) {
  for (let at = element; at; at = at.parentElement) {
    const found = parts(getComputedStyle(at).backgroundColor);
    if (found.length < 4 || found[3] > 0) return found;
  }
  return [255, 255, 255];
}
function contrast(one, other) {
  const [dark, light] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (light + 0.05) / (dark + 0.05);
}
const faults = [];
const edge = document.documentElement.getBoundingClientRect().right + 1;
for (const element of document.querySelectorAll("body *")) {
  const text = [...element.childNodes].filter(node => node.nodeType === 3 && node.textContent.trim());
  const box = element.getBoundingClientRect();
  const style = getComputedStyle(element);
  if (!box.width || !box.height || element.closest("[id^=cell-]")) continue;
  if (text.length && !element.closest(".key")) {
    const ink = parts(element instanceof SVGElement ? style.fill : style.color);
    const found = contrast(ink, background(element));
    if (found < 4.5) faults.push(`contrast ${found.toFixed(2)}: ${text[0].textContent.trim().slice(0, 40)}`);
  }
  const scrolls = element.closest(".scroll, .wide, pre");
  if (box.right > edge && !(scrolls && getComputedStyle(scrolls).overflowX === "auto"))
    faults.push(`cut at ${Math.round(box.right)} of ${edge - 1}: ${element.tagName} ${element.textContent.slice(0, 40)}`);
}
for (const figure of document.querySelectorAll("svg"))
  if (figure.getAttribute("role") !== "img" || !figure.getAttribute("aria-label"))
    faults.push("a figure without a name");
const names = [...document.querySelectorAll("svg")].map(figure => figure.getAttribute("aria-label"));
if (new Set(names).size < names.length) faults.push("two figures of one name");
document.body.innerHTML = "";
document.body.append(`checked ${names.length} figures`, ...faults.flatMap(fault => ["\n", `FAULT ${fault}`]));
