'use strict';

const WORDS = ['Too easy to guess.', 'Too easy to guess.', 'Could be stronger.', 'Good.', 'Very good.'];
const PAUSE_MS = 400;

function addShowButton(box, input) {
  const button = document.createElement('button');
  button.type = 'button';
  button.className = 'show';
  button.setAttribute('aria-controls', input.id);
  const what = input.labels[0].textContent.trim().toLowerCase();

  const show = (visible) => {
    input.type = visible ? 'text' : 'password';
    button.textContent = visible ? 'Hide' : 'Show';
    button.setAttribute('aria-label', `${button.textContent} ${what}`);
  };
  show(false);
  button.addEventListener('click', () => show(input.type === 'password'));
  // Sent as a password field, so that no browser keeps it among its form history.
  input.form.addEventListener('submit', () => show(false));

  input.spellcheck = false;
  input.autocapitalize = 'none';
  box.append(button);
}

function watchStrength(url, input, place) {
  const meter = place.querySelector('meter');
  const advice = place.querySelector('p');
  let timer = 0;
  let asking = null;

  const clear = () => {
    meter.hidden = true;
    advice.textContent = '';
  };

  const show = (answer) => {
    const score = Math.min(4, Math.max(0, Number(answer.score) || 0));
    meter.hidden = false;
    meter.value = score;
    const words = [WORDS[score], answer.advice || ''].join(' ').trim();
    if (advice.textContent !== words) advice.textContent = words;
  };

  const ask = async () => {
    const fields = input.form.elements;
    const known = (name) => (fields[name] ? fields[name].value : '');
    asking = new AbortController();
    const { signal } = asking;
    try {
      const response = await fetch(url, {
        method: 'POST',
        credentials: 'same-origin',
        headers: { 'X-CSRFToken': known('csrf_token'), Accept: 'application/json' },
        body: new URLSearchParams({ password: input.value, email: known('email'), name: known('name') }),
        signal,
      });
      if (!response.ok) throw new Error(String(response.status));
      show(await response.json());
    } catch (problem) {
      if (!signal.aborted) clear();
    }
  };

  const stop = () => {
    clearTimeout(timer);
    if (asking) asking.abort();
  };

  const later = () => {
    stop();
    if (!input.value) clear();
    else timer = setTimeout(ask, PAUSE_MS);
  };
  input.addEventListener('input', later);
  // After the form is sent, this page's CSRF token may be outdated.
  input.form.addEventListener('submit', stop);
  if (input.value) later();
}

for (const box of document.querySelectorAll('[data-password]')) {
  const input = box.querySelector('input');
  addShowButton(box, input);
  const place = box.parentElement.querySelector('[data-strength]');
  if (place && box.dataset.strengthUrl) watchStrength(box.dataset.strengthUrl, input, place);
}
