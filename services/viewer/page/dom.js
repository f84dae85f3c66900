// Elements built from data. Text only ever becomes text: there is no way from here to markup.

/** An element with properties, attributes (data-, aria-, role) and children; strings become text nodes. */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(properties)) {
    if (key.includes("-") || key === "role" || key === "for") made.setAttribute(key, value);
    else if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made[key] = value;
  }
  made.append(...children.filter((each) => each !== null && each !== undefined));
  return made;
}

/** Replace what is in an element. */
export function fill(parent, ...children) {
  parent.replaceChildren(...children.filter((each) => each !== null && each !== undefined));
}

/** The element with this id. */
export const byId = (id) => document.getElementById(id);
