// The week of a schedule as a grid of half hours, to be painted with finger,
// mouse or keys. It stands on the form of windows below it and writes into that;
// without this script the form is all there is.

const day = 24 * 60;
const step = 30;
const perDay = day / step;

export default function week(element) {
  const say = element.dataset;
  const form = element.closest('form');
  const rows = form.querySelector('.windows');
  const blank = form.querySelector('#window-row');
  // In the order of the calendar; bit is the day's in the form.
  const days = say.days.split(';').filter(Boolean).map((d) => {
    const [bit, short, whole] = d.split('|');
    return { bit: Number(bit), short, whole };
  });
  // Which minutes of the week are in a window: what a window says to the minute
  // stays so, whatever else is painted.
  let minutes = new Uint8Array(7 * day);

  const clock = (m) => `${String(Math.floor(m / 60)).padStart(2, '0')}:${String(m % 60).padStart(2, '0')}`;
  const minute = (text) => {
    const found = /^(\d\d):(\d\d)/.exec(text);
    return found ? Number(found[1]) * 60 + Number(found[2]) : NaN;
  };
  const frees = () => form.elements.effect.value === 'free';
  const state = (cell) => {
    let on = 0;
    for (let m = cell * step; m < (cell + 1) * step; m++) on += minutes[m];
    return on === 0 ? 'off' : on === step ? 'on' : 'part';
  };
  const words = (s) => {
    if (s === 'part') return say.part;
    if (frees()) return s === 'on' ? say.free : say.shut;
    return s === 'on' ? say.blocked : say.closed;
  };
  const tell = (text, dayText, from, to, s) =>
    text.replace('DAY', dayText).replace('FROM', clock(from)).replace('TO', clock(to)).replace('STATE', words(s));

  // The form as minutes.
  function read() {
    minutes = new Uint8Array(7 * day);
    for (const row of rows.querySelectorAll('[data-window]')) {
      const [from, to] = [...row.querySelectorAll('input[type=time]')].map((i) => minute(i.value));
      if (Number.isNaN(from) || Number.isNaN(to)) continue;
      const length = to > from ? to - from : to - from + day;
      for (const box of row.querySelectorAll('input[type=checkbox]:checked')) {
        const start = days.findIndex((d) => d.bit === Number(box.value)) * day + from;
        for (let m = start; m < start + length; m++) minutes[m % minutes.length] = 1;
      }
    }
  }

  // The minutes as windows: runs, of which none is longer than a day, with the
  // days on which the same begins together.
  function windows() {
    const found = new Map(); // "from-to" → days
    const add = (start, length) => {
      const from = start % day;
      const key = `${clock(from)}-${clock((from + length) % day)}`;
      found.set(key, (found.get(key) ?? new Set()).add(Math.floor(start / day) % 7));
    };
    const all = minutes.length;
    const first = minutes.indexOf(0);
    if (first < 0) { // nothing begins or ends: whole days
      for (let d = 0; d < 7; d++) add(d * day, day);
      return found;
    }
    for (let i = 0; i < all; i++) {
      const start = first + i;
      if (!minutes[start % all] || minutes[(start - 1 + all) % all]) continue;
      let length = 0;
      while (minutes[(start + length) % all]) length++;
      let at = start % all;
      while (length > day) { // up to midnight, then whole days
        const part = day - (at % day);
        add(at, part);
        at += part;
        length -= part;
      }
      add(at, length);
    }
    return found;
  }

  // What was painted goes into the form, with an empty row for more.
  function write() {
    rows.replaceChildren();
    const add = (from, to, on) => {
      const row = blank.content.cloneNode(true);
      const n = rows.children.length;
      for (const named of row.querySelectorAll('[name], [id], [for]')) {
        for (const attribute of ['name', 'id', 'for']) {
          const value = named.getAttribute(attribute);
          if (value?.endsWith('-1')) named.setAttribute(attribute, value.replace(/-1$/, n));
        }
        if (named.name === 'row') named.value = n;
      }
      const [a, b] = row.querySelectorAll('input[type=time]');
      [a.value, b.value] = [from, to];
      for (const box of row.querySelectorAll('input[type=checkbox]')) {
        box.checked = on.has(days.findIndex((d) => d.bit === Number(box.value)));
      }
      rows.append(row);
    };
    for (const [key, on] of windows()) add(...key.split('-'), on);
    add('', '', new Set());
  }

  // The grid.
  const table = document.createElement('table');
  table.className = 'week-grid';
  table.setAttribute('role', 'grid');
  table.setAttribute('aria-label', say.label);
  table.setAttribute('aria-describedby', 'week-help');
  const make = (parent, name, text, attributes = {}) => {
    const made = document.createElement(name);
    made.textContent = text;
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    parent.append(made);
    return made;
  };
  const head = make(make(table, 'thead', ''), 'tr', '');
  make(head, 'td', '', { role: 'presentation' }).className = 'corner';
  for (const d of days) {
    const th = make(head, 'th', '', { scope: 'col' });
    make(th, 'span', d.short, { 'aria-hidden': 'true' });
    make(th, 'span', d.whole).className = 'hide';
  }
  const body = make(table, 'tbody', '');
  const cells = []; // by number: day * perDay + half hour
  for (let r = 0; r < perDay; r++) {
    const tr = make(body, 'tr', '');
    make(make(tr, 'th', '', { scope: 'row' }), 'span', clock(r * step)).className = r % 4 ? 'hide' : '';
    for (let c = 0; c < 7; c++) {
      const td = make(tr, 'td', '', { role: 'gridcell', tabindex: '-1' });
      td.dataset.cell = c * perDay + r;
      cells[c * perDay + r] = td;
    }
  }
  let here = 0;
  cells[here].tabIndex = 0;

  function show() {
    table.classList.toggle('free', frees());
    element.classList.toggle('free', frees());
    cells.forEach((td, i) => {
      const s = state(i);
      const from = (i % perDay) * step;
      td.setAttribute('aria-selected', s === 'on');
      td.classList.toggle('part', s === 'part');
      td.setAttribute('aria-label', tell(say.cell, days[Math.floor(i / perDay)].whole, from, from + step, s));
    });
    legend.textContent = frees() ? say.free : say.blocked;
  }

  // Painting: the rectangle from the cell where it began to the one where it is.
  let began = null;
  function begin(cell) {
    began = { cell, before: minutes.slice(), on: state(cell) !== 'on' };
    paint(cell);
  }
  function paint(to) {
    minutes = began.before.slice();
    const [c1, c2] = [began.cell, to].map((i) => Math.floor(i / perDay)).sort((a, b) => a - b);
    const [r1, r2] = [began.cell, to].map((i) => i % perDay).sort((a, b) => a - b);
    for (let c = c1; c <= c2; c++) minutes.fill(began.on ? 1 : 0, c * day + r1 * step, c * day + (r2 + 1) * step);
    show();
    const dayText = c1 === c2 ? days[c1].whole : `${days[c1].whole} – ${days[c2].whole}`;
    live.textContent = tell(say.set, dayText, r1 * step, (r2 + 1) * step, began.on ? 'on' : 'off');
  }
  function move(to, how) {
    cells[here].tabIndex = -1;
    here = to;
    cells[here].tabIndex = 0;
    cells[here].focus(how);
  }

  body.addEventListener('pointerdown', (event) => {
    const cell = event.target.closest('td');
    if (!cell || event.button !== 0) return;
    event.preventDefault();
    move(Number(cell.dataset.cell), { preventScroll: true }); // the rest would no longer be where it was seen
    begin(here);
    const drag = (e) => {
      const under = document.elementFromPoint(e.clientX, e.clientY)?.closest?.('.week-grid td[data-cell]');
      if (under) paint(Number(under.dataset.cell));
    };
    const end = () => {
      removeEventListener('pointermove', drag);
      removeEventListener('pointerup', end);
      removeEventListener('pointercancel', end);
      write();
    };
    addEventListener('pointermove', drag);
    addEventListener('pointerup', end);
    addEventListener('pointercancel', end);
  });

  table.addEventListener('keydown', (event) => {
    let [c, r] = [Math.floor(here / perDay), here % perDay];
    switch (event.key) {
      case 'ArrowUp': r--; break;
      case 'ArrowDown': r++; break;
      case 'ArrowLeft': c--; break;
      case 'ArrowRight': c++; break;
      case 'PageUp': r -= 8; break;
      case 'PageDown': r += 8; break;
      case 'Home': c = 0; if (event.ctrlKey) r = 0; break;
      case 'End': c = 6; if (event.ctrlKey) r = perDay - 1; break;
      case ' ':
      case 'Enter':
        event.preventDefault();
        begin(here);
        write();
        return;
      default: return;
    }
    event.preventDefault();
    const to = Math.min(6, Math.max(0, c)) * perDay + Math.min(perDay - 1, Math.max(0, r));
    if (event.shiftKey) {
      if (!began || began.free) begin(here);
      move(to);
      paint(here);
      write();
      return;
    }
    if (began) began.free = true; // the next painting begins where it is then
    move(to);
  });

  const note = make(element, 'p', say.help, { id: 'week-help' });
  note.className = 'hint';
  const key = make(element, 'p', '');
  key.className = 'small';
  make(key, 'span', '', { 'aria-hidden': 'true' }).className = 'week-legend';
  const legend = make(key, 'span', '');
  element.append(table);
  const live = make(element, 'p', '', { 'aria-live': 'polite' });
  live.className = 'quiet small';

  read();
  show();
  // Whoever writes into the form sees it in the grid.
  rows.addEventListener('change', () => { read(); show(); });
  for (const choice of form.querySelectorAll('[name=effect]')) choice.addEventListener('change', show);
}
