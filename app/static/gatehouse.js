'use strict';

// A refused form says so first: the summary takes the focus, as it would after a page change without a reload.
const refused = document.querySelector('[data-focus]');
if (refused) refused.focus();

// After the skip link a form would go to `#main` again, which would take the focus from the summary.
document.addEventListener('submit', (event) => {
  if (!event.target.hasAttribute('action')) event.target.action = location.pathname + location.search;
});

// On a phone the tabs are one row that scrolls sideways: bring the present one into it.
for (const tabs of document.querySelectorAll('[data-tabs]')) {
  const current = tabs.querySelector('[aria-current]');
  if (current && tabs.scrollWidth > tabs.clientWidth) {
    tabs.scrollLeft = current.offsetLeft - (tabs.clientWidth - current.offsetWidth) / 2;
  }
}

for (const button of document.querySelectorAll('[data-print]')) {
  button.hidden = false;
  button.addEventListener('click', () => window.print());
}

// What is shown once can be copied; without this, it is selected as a whole by a click.
for (const button of document.querySelectorAll('[data-copy]')) {
  button.hidden = !navigator.clipboard;
  button.addEventListener('click', async () => {
    await navigator.clipboard.writeText(button.previousElementSibling.textContent);
    button.textContent = 'Copied';
  });
}
