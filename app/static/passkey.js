// Passkeys (WebAuthn). A form with data-passkey holds the options; the response of the authenticator is sent in its
// field `credential`. Without this script, or in a browser without passkeys, the form stays hidden.
'use strict';

const toBytes = (text) => Uint8Array.from(atob(text.replace(/-/g, '+').replace(/_/g, '/')), (each) => each.charCodeAt(0));
const toText = (buffer) =>
  btoa(Array.from(new Uint8Array(buffer), (each) => String.fromCharCode(each)).join(''))
    .replace(/\+/g, '-')
    .replace(/\//g, '_')
    .replace(/=+$/, '');

function readOptions(text) {
  const options = JSON.parse(text);
  options.challenge = toBytes(options.challenge);
  if (options.user) options.user.id = toBytes(options.user.id);
  for (const each of [...(options.allowCredentials || []), ...(options.excludeCredentials || [])]) each.id = toBytes(each.id);
  return options;
}

function written(credential) {
  const { response } = credential;
  const sent = { clientDataJSON: toText(response.clientDataJSON) };
  for (const name of ['attestationObject', 'authenticatorData', 'signature', 'userHandle']) {
    if (response[name]) sent[name] = toText(response[name]);
  }
  if (response.getTransports) sent.transports = response.getTransports();
  return JSON.stringify({ id: credential.id, rawId: toText(credential.rawId), type: credential.type, response: sent });
}

let waiting = null; // The request that the browser offers among the suggestions of a field.

async function ask(form, how = {}) {
  const publicKey = readOptions(form.dataset.passkey);
  const call = publicKey.user ? 'create' : 'get';
  return written(await navigator.credentials[call]({ publicKey, ...how }));
}

async function press(form) {
  const problem = form.querySelector('[data-problem]');
  problem.hidden = true;
  waiting?.abort();
  try {
    form.elements.credential.value = await ask(form);
  } catch (error) {
    problem.textContent =
      error.name === 'InvalidStateError'
        ? 'This device already has a passkey for your account.'
        : 'No passkey was used. Try again, or sign in another way.';
    problem.hidden = false;
    return;
  }
  // The "trust" checkbox is on the page once, in the other form.
  if (form.elements.trust) form.elements.trust.value = document.querySelector('[name=trust]:checked') ? 'y' : '';
  form.submit();
}

async function offer(form) {
  if (!(await PublicKeyCredential.isConditionalMediationAvailable?.())) return;
  waiting = new AbortController();
  try {
    form.elements.credential.value = await ask(form, { mediation: 'conditional', signal: waiting.signal });
    form.submit();
  } catch {
    // The user declined, or pressed the button.
  }
}

for (const form of window.PublicKeyCredential ? document.querySelectorAll('[data-passkey]') : []) {
  form.hidden = false;
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    press(form);
  });
  if ('offer' in form.dataset) offer(form);
}
