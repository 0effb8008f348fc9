// Functions that page tests evaluate: what people with weak eyes, or with a screen reader, could not use.
({
  // Texts whose contrast is below that of WCAG AA.
  unreadable() {
    const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const plain = (color) => {
      // Any notation of CSS as red, green, blue and alpha.
      canvas.clearRect(0, 0, 1, 1);
      canvas.fillStyle = color;
      canvas.fillRect(0, 0, 1, 1);
      return [...canvas.getImageData(0, 0, 1, 1).data];
    };
    const linear = (part) => (part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4);
    const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
    const ground = (element) => {
      for (let at = element; at; at = at.parentElement) {
        const color = plain(getComputedStyle(at).backgroundColor);
        if (color[3] === 255) return color;
      }
      return [255, 255, 255, 255];
    };
    const isShown = (element) => element.checkVisibility({ opacityProperty: true, visibilityProperty: true });
    const found = new Set();
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const text = walker.currentNode.data.trim();
      const element = walker.currentNode.parentElement;
      if (!text || !isShown(element)) continue;
      const style = getComputedStyle(element);
      const own = light(plain(element.closest("svg") ? style.fill : style.color));
      const other = light(ground(element));
      const ratio = (Math.max(own, other) + 0.05) / (Math.min(own, other) + 0.05);
      const size = parseFloat(style.fontSize);
      const isLarge = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
      if (ratio < (isLarge ? 3 : 4.5)) {
        found.add(`${ratio.toFixed(2)} ${element.tagName} ${element.className} ${text.slice(0, 40)}`);
      }
    }
    return [...found].slice(0, 20);
  },

  // Links and fields without a name.
  unnamed() {
    return [...document.querySelectorAll("input:not([type=hidden]), select, textarea, button, a[href]")]
      .filter((element) => element.checkVisibility())
      .filter(
        (element) =>
          !element.labels?.length &&
          !element.getAttribute("aria-label") &&
          !element.textContent.trim() &&
          !element.title &&
          !element.querySelector("img[alt]:not([alt=''])"),
      )
      .map((element) => element.outerHTML.slice(0, 200))
      .slice(0, 20);
  },
})
