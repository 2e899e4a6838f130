// Passkeys: asks the server what to sign, has the device sign it, sends it back.
// data-options and data-finish are the two addresses, data-make is there where a
// new passkey is made; the element holds a button and a place for what went wrong,
// which says why where the server does.

const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, '+').replace(/_/g, '/')), (c) => c.charCodeAt(0));
const text = (buffer) => buffer && btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');

// Refused is what the server says no to: its message is for people.
class Refused extends Error {}

async function post(address, body) {
  const answer = await fetch(address, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: body && JSON.stringify(body) });
  if (answer.redirected) location.assign(answer.url); // it is asked first who sits there
  if (answer.redirected) throw new Error('asked first');
  const said = await answer.json();
  if (!answer.ok) throw new Refused(said.wrong);
  return said;
}

const listed = (credentials) => credentials?.map((c) => ({ ...c, id: bytes(c.id) }));

async function make({ publicKey: p }) {
  const c = await navigator.credentials.create({
    publicKey: { ...p, challenge: bytes(p.challenge), user: { ...p.user, id: bytes(p.user.id) }, excludeCredentials: listed(p.excludeCredentials) },
  });
  return {
    id: c.id, rawId: text(c.rawId), type: c.type, authenticatorAttachment: c.authenticatorAttachment ?? undefined, clientExtensionResults: c.getClientExtensionResults(),
    response: { attestationObject: text(c.response.attestationObject), clientDataJSON: text(c.response.clientDataJSON), transports: c.response.getTransports?.() ?? [] },
  };
}

async function show({ publicKey: p }) {
  const c = await navigator.credentials.get({ publicKey: { ...p, challenge: bytes(p.challenge), allowCredentials: listed(p.allowCredentials) } });
  return {
    id: c.id, rawId: text(c.rawId), type: c.type, authenticatorAttachment: c.authenticatorAttachment ?? undefined, clientExtensionResults: c.getClientExtensionResults(),
    response: {
      authenticatorData: text(c.response.authenticatorData), clientDataJSON: text(c.response.clientDataJSON),
      signature: text(c.response.signature), userHandle: text(c.response.userHandle) ?? undefined,
    },
  };
}

export default function (element) {
  if (!window.PublicKeyCredential) return;
  element.hidden = false;
  const button = element.querySelector('button');
  const wrong = element.querySelector('[role=alert]');
  const usual = wrong.textContent;
  button.addEventListener('click', async () => {
    button.disabled = true;
    wrong.hidden = true;
    try {
      const options = await post(element.dataset.options);
      const signed = await ('make' in element.dataset ? make(options) : show(options));
      const name = element.querySelector('input')?.value ?? '';
      const query = 'make' in element.dataset ? `?name=${encodeURIComponent(name)}` : `?next=${encodeURIComponent(element.dataset.next ?? '/')}`;
      const { next } = await post(element.dataset.finish + query, signed);
      location.assign(next);
    } catch (error) {
      wrong.textContent = (error instanceof Refused && error.message) || usual;
      wrong.hidden = false;
      button.disabled = false;
    }
  });
}
