// Search over headraceIndex (search-index.js): [name, what it is, address, further text, columns].
(() => {
  const MAX = 50;
  const input = document.getElementById("words");
  const list = document.getElementById("found");
  const said = document.getElementById("said");
  const items = headraceIndex.map((item) => ({
    item,
    name: item[0].toLowerCase(),
    text: item.slice(0, 2).concat(item[3], item[4]).join(" ").toLowerCase(),
  }));

  function rank(entry, words) {
    if (entry.name === words.join(" ")) return 0;
    if (words.every((word) => entry.name.includes(word))) return 1;
    return 2;
  }

  function row(entry, words) {
    const [name, what, address, , columns] = entry.item;
    const line = document.createElement("li");
    const link = document.createElement("a");
    const words_in = columns.filter((column) => words.some((word) => column.toLowerCase().includes(word)));
    link.href = address;
    link.dir = "auto";
    link.textContent = name;
    const rest = document.createElement("span");
    rest.className = "soft";
    rest.textContent = " " + what + (words_in.length ? ": " + words_in.slice(0, 5).join(", ") : "");
    line.append(link, rest);
    return line;
  }

  function show() {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = words.length
      ? items.filter((entry) => words.every((word) => entry.text.includes(word)))
      : [];
    found.sort((a, b) => rank(a, words) - rank(b, words) || (a.name < b.name ? -1 : 1));
    list.replaceChildren(...found.slice(0, MAX).map((entry) => row(entry, words)));
    said.textContent = !words.length
      ? ""
      : found.length > MAX
        ? found.length + " found, the first " + MAX + " are shown"
        : found.length + " found";
    history.replaceState(null, "", words.length ? "#" + encodeURIComponent(input.value) : location.pathname);
  }

  try {
    input.value = decodeURIComponent(location.hash.slice(1));
  } catch {
    input.value = "";
  }
  input.addEventListener("input", show);
  input.focus();
  show();
})();
