'use strict';

// The error summary of a refused form takes the focus.
const refused = document.querySelector('[data-focus]');
if (refused) refused.focus();

// After the skip link a form would go to `#main` again, which would take the focus from the summary.
document.addEventListener('submit', (event) => {
  if (!event.target.hasAttribute('action')) event.target.action = location.pathname + location.search;
});

// On a phone the tabs are one row that scrolls sideways: scroll to the current one.
for (const tabs of document.querySelectorAll('[data-tabs]')) {
  const current = tabs.querySelector('[aria-current]');
  if (current && tabs.scrollWidth > tabs.clientWidth) {
    tabs.scrollLeft = current.offsetLeft - (tabs.clientWidth - current.offsetWidth) / 2;
  }
}

// Selects all rows of a list, also after htmx has replaced it; the style sheet hides the box without scripts.
document.documentElement.toggleAttribute('data-scripts', true);
document.addEventListener('change', (event) => {
  if (!event.target.matches('[data-select-all]')) return;
  for (const box of event.target.form.elements.users) box.checked = event.target.checked;
});

for (const button of document.querySelectorAll('[data-print]')) {
  button.hidden = false;
  button.addEventListener('click', () => window.print());
}

// Secrets can be copied: the lines of the list that `data-copy` names, or the text before the button, without spaces.
for (const button of document.querySelectorAll('[data-copy]')) {
  const list = document.getElementById(button.dataset.copy);
  button.hidden = !navigator.clipboard;
  button.addEventListener('click', async () => {
    const lines = list ? [...list.children] : [button.previousElementSibling];
    await navigator.clipboard.writeText(lines.map((line) => line.textContent.replace(/\s/g, '')).join('\n'));
    button.textContent = 'Copied';
  });
}

// The browser's time zone. A sign-in stores it for a user without one, and its page offers it.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || '';
const cookie = document.documentElement.dataset.zoneCookie;
if (cookie && zone) {
  document.cookie = `${cookie}=${zone}; path=/; samesite=lax${location.protocol === 'https:' ? '; secure' : ''}`;
}
for (const button of document.querySelectorAll('[data-browser-zone]')) {
  const field = document.getElementById(button.dataset.browserZone);
  button.hidden = ![...field.options].some((option) => option.value === zone);
  button.textContent += `: ${zone}`;
  button.addEventListener('click', () => { field.value = zone; });
}

// A field for a user offers matching addresses while typing.
for (const field of document.querySelectorAll('[data-matches-url]')) {
  let timer = 0;
  field.addEventListener('input', () => {
    clearTimeout(timer);
    timer = setTimeout(async () => {
      const response = await fetch(`${field.dataset.matchesUrl}?q=${encodeURIComponent(field.value)}`);
      if (!response.ok) return;
      field.list.replaceChildren(...(await response.json()).map((address) => new Option('', address)));
    }, 200);
  });
}

// A menu closes with Escape, and when the focus or a click goes elsewhere.
for (const menu of document.querySelectorAll('[data-menu]')) {
  document.addEventListener('click', (event) => {
    if (!menu.contains(event.target)) menu.open = false;
  });
  menu.addEventListener('focusout', (event) => {
    if (event.relatedTarget && !menu.contains(event.relatedTarget)) menu.open = false;
  });
  menu.addEventListener('keydown', (event) => {
    if (event.key !== 'Escape' || !menu.open) return;
    menu.open = false;
    menu.querySelector('summary').focus();
  });
}
