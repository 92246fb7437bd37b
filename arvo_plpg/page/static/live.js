// Replaces what the page shows, every few seconds, while it is looked at and nothing in it is in use.
"use strict";
const main = document.querySelector("main[data-live]");
const pause = Number(main.dataset.live) * 1000;

async function renew() {
  const used = main.contains(document.activeElement) && document.activeElement.matches("input, select, button");
  if (!document.hidden && !used) {
    try {
      const answer = await fetch(location.href, { headers: { accept: "text/html" }, redirect: "error" });
      if (answer.ok) {
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        const focused = document.activeElement;
        const address = focused && main.contains(focused) ? focused.getAttribute("href") : null;
        main.replaceChildren(...page.querySelector("main").childNodes);
        if (address) main.querySelector(`a[href="${CSS.escape(address)}"]`)?.focus();
      }
      document.body.classList.toggle("away", !answer.ok);
    } catch {
      document.body.classList.add("away");
    }
  }
  setTimeout(renew, pause);
}
setTimeout(renew, pause);
