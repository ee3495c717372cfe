// The JavaScript of our own. Pages work without it; it listens once, on the document, for data-* attributes.
'use strict'

const on = (type, selector, act) => document.addEventListener(type, e => {
  const el = e.target instanceof Element ? e.target.closest(selector) : null
  if (el) act(el, e)
})

// --- Toasts -----------------------------------------------------------------------------------------------------

const toasts = () => document.getElementById('toasts')

// What failed stays until it is dismissed; what went well leaves by itself, but not from under a pointer or the focus.
function leave(toast) {
  if (toast.dataset.toast === 'stay') return
  setTimeout(() => toast.matches(':hover, :focus-within') ? leave(toast) : toast.remove(), 6000)
}

function toast(text, kind) {
  const shape = document.getElementById('toast-' + kind)
  if (!shape || !toasts()) return
  const copy = shape.content.firstElementChild.cloneNode(true)
  copy.querySelector('[data-toast-text]').textContent = text
  toasts().append(copy)
}

on('click', '[data-dismiss]', el => el.closest('[data-toast]').remove())

// Answers that are not swapped (see htmx-config in the page) are shown instead of being lost.
document.addEventListener('htmx:response:error', e => {
  const { status, raw } = e.detail.ctx.response
  if (status === 422) return
  if (status === 401) return signedOut(true)
  const html = (raw.headers.get('Content-Type') || '').startsWith('text/html')
  const found = html && new DOMParser().parseFromString(e.detail.ctx.text, 'text/html').querySelector('[data-toast]')
  if (found && toasts()) toasts().append(document.adoptNode(found))
  else toast('Something went wrong on our side. Try again in a moment.', 'fail')
})
const unanswered = () => toast('Carillon did not answer. Check your connection, then try again.', 'fail')
document.addEventListener('htmx:error', e => { if (e.detail.ctx) unanswered() })

// --- Signed out ---------------------------------------------------------------------------------------------------

// A request in the background never leaves the page: what is typed there would be lost. A bar says what happened, until
// someone has signed in again in another tab.
const bar = () => document.getElementById('signed-out')
function signedOut(out) {
  if (bar()) bar().hidden = !out
}
async function askWhetherSignedIn() {
  const { status } = await fetch('/inbox/link', { headers: { 'HX-Request': 'true', 'HX-Request-Type': 'partial' } })
  signedOut(status === 401)
  return status !== 401
}
document.addEventListener('visibilitychange', () => {
  // without an answer the bar stays
  if (!document.hidden && bar() && !bar().hidden) askWhetherSignedIn().catch(() => {})
})
// Saving while the bar is shown asks first, and keeps the form where it is if nobody has signed in yet.
document.addEventListener('submit', async e => {
  const form = e.target
  if (e.defaultPrevented || form.method !== 'post' || !bar() || bar().hidden || form.dataset.asked) return
  e.preventDefault()
  e.stopImmediatePropagation()
  const button = e.submitter
  try {
    if (!await askWhetherSignedIn()) return
  } catch {
    return unanswered()
  }
  form.dataset.asked = 'yes'
  form.requestSubmit(button)
  delete form.dataset.asked
}, true)

// --- Copy, select all, filters, menus ------------------------------------------------------------------------------

on('click', '[data-copy]', async button => {
  const source = document.getElementById(button.dataset.copy)
  const text = 'value' in source ? source.value : source.textContent
  try {
    await navigator.clipboard.writeText(text)
  } catch { // no clipboard without https: the old way needs a selection
    if ('select' in source) source.select()
    else getSelection().selectAllChildren(source)
    if (!document.execCommand('copy')) return toast('Copying is not allowed here. Select the text and copy it.', 'fail')
  }
  toast('Copied.', 'ok')
})

const picks = all => [...all.closest('[data-picks]').querySelectorAll('tbody input[type=checkbox][name=id]')]
on('change', '[data-pick-all]', all => picks(all).forEach(box => { box.checked = all.checked }))
on('change', '[data-picks] tbody input[name=id]', box => {
  const all = box.closest('[data-picks]').querySelector('[data-pick-all]')
  if (!all) return
  const checked = picks(all).filter(b => b.checked).length
  all.checked = checked > 0 && checked === picks(all).length
  all.indeterminate = checked > 0 && !all.checked
})

on('click', '[data-fill]', button => {
  const field = document.getElementById(button.dataset.fill)
  field.value = button.dataset.value
  field.dispatchEvent(new Event('input', { bubbles: true }))
})

on('change', '[data-submit-on-change]', (form, e) => { if (e.target.type !== 'search') form.requestSubmit() })

document.addEventListener('click', e => {
  for (const menu of document.querySelectorAll('details[data-menu][open]'))
    if (!menu.contains(e.target)) menu.open = false
})
document.addEventListener('keydown', e => {
  const menu = e.key === 'Escape' && document.activeElement.closest('details[data-menu][open]')
  if (menu) { menu.open = false; menu.querySelector('summary').focus() }
})

// A form with changes asks before it is left.
on('input', 'form[data-guard]', form => { form.dataset.guard = 'changed' })
on('submit', 'form[data-guard]', form => { form.dataset.guard = '' })
addEventListener('beforeunload', e => { if (document.querySelector('form[data-guard=changed]')) e.preventDefault() })

// --- Steps of a workflow ---------------------------------------------------------------------------------------------

// A row is dragged by its grip: a line shows where it would go, and the button that moves it there does the rest, as
// those for one place up or down do. Rows stay where they are until the form comes back.
const rowFacts = row => ({
  loop: row.querySelector('[name=step_kind]').value === 'loop',
  inside: !!row.querySelector('[name=step_inside]')?.checked,
})
let drag
function aim(e) {
  const { rows, from, list, mark } = drag
  const facts = rows.map(rowFacts)
  let to = rows.findIndex(row => {
    const box = row.getBoundingClientRect()
    return e.clientY < (box.top + box.bottom) / 2
  })
  if (to < 0) to = rows.length
  while (facts[from].loop && to < rows.length && facts[to].inside && to !== from) to++
  const before = facts[to - 1 === from ? to - 2 : to - 1], behind = facts[to === from ? to + 1 : to]
  const could = !facts[from].loop && before && (before.inside || before.loop)
  const inside = could && (behind?.inside || e.clientX > list.getBoundingClientRect().left + 32)
  drag.to = to
  drag.inside = !!inside
  const edge = to < rows.length ? rows[to].offsetTop - 6 : rows.at(-1).offsetTop + rows.at(-1).offsetHeight + 6
  mark.style.top = edge + 'px'
  mark.classList.toggle('flow-inside', drag.inside)
  if (e.clientY < 72) scrollBy(0, -16)
  if (e.clientY > innerHeight - 72) scrollBy(0, 16)
}
function dropped(commit) {
  if (!drag) return
  const { rows, from, to, inside, list, mark } = drag
  const still = (to === from || to === from + 1) && rowFacts(rows[from]).inside === inside
  rows[from].classList.remove('flow-dragged')
  mark.remove()
  drag = null
  if (!commit || still || to === undefined) return
  const button = list.closest('form').querySelector('[data-move]')
  button.value = `move.${from}.${to}.${inside ? 'in' : 'out'}`
  button.click()
}
on('pointerdown', '[data-grip]', (grip, e) => {
  if (e.button !== 0) return
  e.preventDefault() // no text is selected
  grip.setPointerCapture(e.pointerId)
  const row = grip.closest('li'), list = row.parentElement, rows = [...list.children]
  const mark = document.createElement('li')
  mark.className = 'flow-mark'
  mark.setAttribute('aria-hidden', 'true')
  list.append(mark)
  row.classList.add('flow-dragged')
  drag = { rows, from: rows.indexOf(row), list, mark }
  aim(e)
})
document.addEventListener('pointermove', e => { if (drag) aim(e) })
document.addEventListener('pointerup', () => dropped(true))
document.addEventListener('pointercancel', () => dropped(false))
document.addEventListener('keydown', e => { if (drag && e.key === 'Escape') dropped(false) })

// --- Dialogs --------------------------------------------------------------------------------------------------------

// Browsers without invoker commands.
if (!('command' in HTMLButtonElement.prototype)) {
  on('click', 'button[commandfor]', button => {
    const dialog = document.getElementById(button.getAttribute('commandfor'))
    if (button.getAttribute('command') === 'show-modal') dialog.showModal()
    if (button.getAttribute('command') === 'close') dialog.close()
  })
}
if (!('closedBy' in HTMLDialogElement.prototype)) {
  on('click', 'dialog[closedby=any]', (dialog, e) => { if (e.target === dialog) dialog.close() })
}
// A dialog that arrives by itself is shown at once.
const showArrived = () => document.querySelectorAll('dialog[data-arrived]:not([open])').forEach(d => {
  d.removeAttribute('data-arrived')
  d.showModal()
})

// --- Durations that run ---------------------------------------------------------------------------------------------

// As views.Took writes them.
function took(s) {
  const two = n => String(n).padStart(2, '0')
  if (s < 60) return `${s} s`
  if (s < 3600) return `${Math.floor(s / 60)} min ${two(s % 60)} s`
  if (s < 86400) return `${Math.floor(s / 3600)} h ${two(Math.floor(s % 3600 / 60))} min`
  return `${Math.floor(s / 86400)} d ${Math.floor(s % 86400 / 3600)} h`
}
function tick() {
  const now = performance.now()
  for (const el of document.querySelectorAll('[data-elapsed]')) {
    if (el.elapsed !== el.dataset.elapsed) { // seconds by the server's clock, so that a wrong one here does not show
      el.elapsed = el.dataset.elapsed
      el.started = now - 1000 * el.elapsed
    }
    el.textContent = took(Math.floor((now - el.started) / 1000))
  }
}
setInterval(tick, 1000)
tick()

// --- Live streams ----------------------------------------------------------------------------------------------------

const longest = 5000 // entries on a page that follows

// <div data-stream="/sessions/ID/stream?after=SEQ" data-stream-into="transcript">: server-sent events
//   append   HTML: each top-level element is added to the target, or replaces the one with its id
//   refresh  words: each becomes an event on <body>, on which parts of the page fetch themselves again
//   end      no more will come
// The id of the last event is where a lost or paused connection goes on.
function follow(source) {
  const target = document.getElementById(source.dataset.streamInto)
  const jump = document.querySelector('[data-jump]'), older = document.querySelector('[data-older]')
  const first = new URL(source.dataset.stream, location.href)
  let stream, last = '', tries = 0, timer, waiting = [], over = false, opened = false
  const tell = words =>
    words
      .split(/\s+/)
      .filter(Boolean)
      .forEach(word => document.body.dispatchEvent(new CustomEvent(word)))

  const atEnd = () => innerHeight + scrollY >= document.documentElement.scrollHeight - 80
  const toEnd = () => scrollTo({ top: document.documentElement.scrollHeight })
  let following = false

  const put = () => {
    const stay = following && atEnd()
    const shape = document.createElement('template')
    shape.innerHTML = waiting.join('')
    waiting = []
    const fresh = document.createDocumentFragment()
    for (const el of [...shape.content.children]) {
      const old = el.id && (fresh.getElementById(el.id) || document.getElementById(el.id))
      if (!old) { fresh.append(el); continue }
      const shown = old.querySelector('details'), next = el.querySelector('details')
      if (shown && next) next.open = shown.open
      old.replaceWith(el)
    }
    const added = [...fresh.children]
    target.append(fresh)
    // Hours of output must not fill the browser: what came first is a click away.
    for (let extra = target.childElementCount - longest; extra > 0; extra--) {
      target.firstElementChild.remove()
      if (older) older.hidden = false
    }
    if (window.htmx) added.forEach(el => htmx.process(el))
    if (stay) toEnd()
    else if (jump && added.length) jump.hidden = atEnd()
  }

  const open = () => {
    const url = new URL(first)
    if (last) url.searchParams.set('after', last)
    stream = new EventSource(url)
    const seen = e => { if (e.lastEventId) last = e.lastEventId }
    stream.onopen = () => { // what happened in between is not told again, so every part asks
      if (opened) tell(source.dataset.streamRefresh || '')
      opened = true
      tries = 0
    }
    stream.addEventListener('append', e => {
      seen(e)
      if (waiting.push(e.data) === 1) requestAnimationFrame(put)
    })
    stream.addEventListener('refresh', e => {
      seen(e)
      tell(e.data)
    })
    stream.addEventListener('end', e => { seen(e); over = true; stream.close() })
    // The browser reconnects by itself, with Last-Event-ID; only an answer that is no stream makes it give up.
    stream.onerror = () => {
      if (stream.readyState === EventSource.CLOSED && !over && !document.hidden)
        timer = setTimeout(open, Math.min(30000, 1000 * 2 ** tries++))
    }
  }
  const close = () => { clearTimeout(timer); stream?.close() }

  // A browser opens few connections to one server: a tab that nobody looks at gives its own back.
  const watch = () => {
    if (!source.isConnected || over) return document.removeEventListener('visibilitychange', watch)
    close()
    if (!document.hidden) open()
  }
  document.addEventListener('visibilitychange', watch)
  addEventListener('pagehide', close)
  addEventListener('pageshow', e => { if (e.persisted && !over) open() })
  addEventListener('scroll', () => {
    following = atEnd()
    if (jump && following) jump.hidden = true
  }, { passive: true })
  following = atEnd()
  if (jump) jump.hidden = following
  if (!document.hidden) open()
}

on('click', '[data-jump]', button => {
  button.hidden = true
  scrollTo({ top: document.documentElement.scrollHeight })
})

// --- What arrives later ----------------------------------------------------------------------------------------------

const known = new WeakSet()
const once = (selector, act) => document.querySelectorAll(selector).forEach(el => {
  if (known.has(el)) return
  known.add(el)
  act(el)
})
function arrive() {
  once('[data-toast]', leave)
  once('[data-stream]', follow)
  once('[data-zone]', el => {
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone
    if (zone && el.value === el.defaultValue) el.value = zone
  })
  once('[data-address]', el => history.replaceState(null, '', el.dataset.address))
  once('[data-say]', el => { document.getElementById('flow-said').textContent = el.dataset.say })
  showArrived()
}
new MutationObserver(arrive).observe(document.body, { childList: true, subtree: true })
arrive()
