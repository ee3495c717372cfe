// Every form of every page, in one browser: one of something stored is saved as it is, and nothing changes in the
// database; each of its fields is changed, and seen again. Every other form is filled in and sent. Then every button
// and menu is pressed, and every link followed. The pages are those of the server's table of routes. A form that has no
// line below fails the test, and so does a button that could not be pressed, one whose press changes nothing, and a
// route for forms to which nothing was sent.
import assert from 'node:assert/strict'
import { base, scenario, signIn, until } from './browser.mjs'

const pages = JSON.parse(process.env.PAGES)
const routes = JSON.parse(process.env.ROUTES)
const id = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g
const pattern = address =>
  new URL(address, base).pathname
    .replace(id, '{id}')
    .replace(/^\/settings\/providers\/(?!new$)[^/]+/, '/settings/providers/{provider}')

// What is to be known of a form, by the address to which it is sent. stored: something that is there is shown and
// changed. again: where what it made is shown in a form. values: by the name of a field, what to write; null leaves it
// as it is. once: it is sent on one page alone, since the others have to stay as they are or are alike. by 'buttons':
// it is sent from a dialog, whose button is pressed. busy: it may be refused since something else is at work. seen: a
// text that is on the page to which the form leads.
const editor = {
  name: v => (v + ' 2').trim(),
  trigger: null,
  session_type: null,
  execution_type: null,
  provider: null,
  model: null,
  workflow: null,
  bot: null,
  workspace: null,
  cron: '30 4 2 2 *',
  time_zone: 'Asia/Tokyo',
  create_pr: null, // needs a forge
  gate_command: 'true\n\n# more',
  auto_complete: null,
  allow_parallel: null, // others depend on these
  signature_secret: null,
  sender: null,
  signature_header: null,
  filter_field: v => v && v + '.x',
  filter_value: v => v && v + ' 2',
  filter_operator: null,
  budget: '12',
  budget_run_money: '1.5',
  timeout: '17',
}
const forms = {
  '/automations/{id}': { stored: true, values: editor },
  '/automations': {
    again: '/edit',
    values: {
      ...editor,
      provider: 'shell',
      gate_command: 'true',
      success_command: 'true',
      toggles: null,
      budget_run_money: null,
      budget_day_money: null,
      budget_month_money: null,
      budget_run_tokens: null,
      budget_day_tokens: null,
      budget_month_tokens: null,
      budget_run_turns: null,
      budget_day_turns: null,
      budget_month_turns: null,
      success_pull_request: null,
      prompt: 'echo {{who}}',
    },
  },
  '/automations/{id}/token': { by: 'buttons' },
  '/bots/{id}': { stored: true, values: { workspace: null, allowed_tools: 'Read\nEdit' } },
  '/bots': { again: '/edit', values: { workspace: null, allowed_tools: 'Read' } },
  '/workflows/{id}': {
    stored: true,
    values: {
      workspace: null,
      step_kind: null,
      step_inside: null,
      parameter_alias: null,
      parameter_type: null,
      parameter_choices: null,
      parameter_default: v => v && v + '!',
      step_max: null,
      step_path: null,
      step_marker: null,
    },
  },
  '/workflows': {
    again: '/edit',
    values: { step_kind: null, step_inside: null, step_max: null, step_path: null, step_marker: null },
  },
  '/tickets/{id}': { stored: true, once: true, values: { labels: 'qa, web' } },
  '/tickets': { again: '/edit', values: { labels: 'one, two', workspace: null } },
  '/workspaces/{id}': {
    stored: true,
    values: {
      url: null,
      branch: null,
      token: null,
      forge: null,
      forge_base: null,
      forge_secret: null,
      variable_name: 'KEY',
      variable_value: '-----BEGIN-----\nAAAA\n-----END-----\n',
      variable_secret: null,
      model: null,
      provider: 'shell',
      shows: '~/.npmrc\n/opt/tools',
    },
  },
  '/workspaces': {
    again: '/edit',
    values: {
      url: process.env.REPOSITORY,
      branch: 'main',
      token: null,
      forge: null,
      forge_base: null,
      forge_secret: null,
      variable_name: 'KEY',
      variable_value: 'a\nb',
      variable_secret: null,
      model: null,
      provider: 'shell',
      shows: '~/.npmrc\n/opt/tools',
    },
  },
  '/settings/roles/{id}': { stored: true },
  '/settings/roles': { again: '', values: { permissions: null } },
  '/settings/providers/{provider}': {
    stored: true,
    values: { state: '.mine\n.more', obeys: '.mine\nmine.json', keys: 'MINE_KEY, MORE_KEY' },
  },
  '/settings/providers': {
    values: { command: 'other --acp', state: '.other', obeys: '.other', keys: 'OTHER_KEY' },
    seen: 'Added.',
  },
  '/settings/providers/{provider}/models': { stored: true, values: { models: 'one\ntwo' } },
  '/settings/toggles': { stored: true },
  '/settings/profile': { stored: true, values: { theme: 'dark' } },
  '/settings/profile/notices': { stored: true, values: { webhook: 'https://hooks.example.com/carillon' } },
  '/settings/profile/password': {
    values: { current: 'correct horse battery', password: 'correct horse battery 2' },
    seen: 'The password was changed',
  },
  '/settings/users/{id}': { stored: true, once: true, values: { email: v => 'other.' + v } },
  '/settings/users/{id}/roles': { stored: true, once: true },
  '/settings/users': {
    values: { email: 'mira@example.com', name: 'Mira', password: null, roles: null },
    seen: 'invitation',
  },
  '/settings/users/{id}/memberships': { seen: '' },
  '/settings/users/{id}/transfer': { seen: '' },
  '/settings/tokens': { values: { name: 'Script', days: null, scope: null }, seen: 'Script' },
  '/automations/{id}/runs': { seen: '', busy: true },
  '/automations/{id}/transfer': { seen: '' },
  '/automations/bulk': { by: 'buttons' },
  '/sessions/{id}/messages': { once: true, values: { message: 'Go on.' }, seen: 'Go on.' },
  '/sessions/{id}/pull-request': { once: true, values: { url: 'https://github.com/o/r/pull/1' }, seen: '' },
  '/sessions/{id}/tickets': { values: { ticket: '#1' }, seen: '' },
  '/workspaces/{id}/members': { seen: '' },
}

// Routes to which other scenarios send, or tests by HTTP in app/web where a page has them only with another person or a
// mail server.
const elsewhere = {
  '/login': 'signin', '/logout': 'signin', '/setup': 'signin', '/join/{token}': 'signin',
  '/automations/{id}/budget/{limit}': 'quality', '/automations/placeholders': 'whole',
  '/automations/{id}/offer': 'rights_test.go', '/settings/users/{id}/address': 'hijack_test.go',
}
// These show something, ask something outside, or change what ROWS leaves out or what is chosen already.
const changesNothing = /\bdo=|do=$|\/check |\/trial |\/preferences\/workspace |\/sign-outs/

// routeOf is the route that takes what is sent to a path.
const routeOf = path => {
  const is = path.split('/'), fixed = route => route.split('/').filter(part => !part.startsWith('{')).length
  return routes
    .filter(
      route =>
        route.split('/').length === is.length &&
        route.split('/').every((part, i) => part === is[i] || part.startsWith('{')),
    )
    .sort((a, b) => fixed(b) - fixed(a))[0]
}

// What a browser does with a form: what would be sent, and what can be seen and typed.
const inPage = () => {
  window.formAt = action =>
    [...document.querySelectorAll('form[method=post]')].find(
      f => f.getAttribute('action') === action && window.typed(f).length,
    )
  window.typed = form =>
    [...form.elements].filter(
      el =>
        el.name &&
        !el.disabled &&
        !el.readOnly &&
        el.matches('input:not([type=hidden]), select, textarea:not([hidden])'),
    )
  // Of a button that is for one of several things, the name of the thing is left out, since this test changes it.
  window.nameOf = el =>
    (el.matches('nav summary') ? 'the menu ' + el.className : el.getAttribute('aria-label') || el.textContent)
      .trim()
      .replace(/\s+/g, ' ')
      .replace(/: .*/, ': …')
  window.sendsTo = el =>
    el.type === 'submit' && el.form && el.form.method === 'post'
      ? el.getAttribute('formaction') || el.form.getAttribute('action')
      : ''
  window.namedOf = el =>
    el.name && el.value.length < 30 && !/[0-9a-f]{8}-/.test(el.value) ? el.name + '=' + el.value : ''
  window.kindOf = el => el.tagName === 'SUMMARY' ? 'menu' : el.type
  window.data = form => {
    const all = {}
    for (const [name, value] of new FormData(form))
      if (name !== 'version' && name !== 'base') (all[name] ||= []).push(value.replaceAll('\r\n', '\n'))
    return all
  }
}
const openAt = async (page, path) => {
  if (page.url().includes('/sessions/')) await page.goto('about:blank') // a live page goes elsewhere by itself
  const answer = await page.goto(path)
  if (!(answer.headers()['content-type'] || '').startsWith('text/html')) return false
  await page.evaluate(inPage)
  await page.evaluate(() => document.querySelectorAll('main details').forEach(d => { d.open = true }))
  return answer.status() === 200
}
// same compares what a form shows with what was typed. Of rows there is always an empty one more, to type another into.
const same = (now, want) =>
  assert.deepEqual(
    Object.fromEntries(
      Object.keys(want).map(n => [
        n,
        (now[n] || []).slice(
          0,
          Math.max(want[n].length, want[n].length && /^(variable|filter)_/.test(n) ? 0 : (now[n] || []).length),
        ),
      ]),
    ),
    want,
  )
const rows = async () => (await fetch(process.env.ROWS)).json()

// press looks for a button and clicks on it in one go, since what fetches itself anew may put another in its place, and
// returns the status of the answer when its page, or its part of one, has come: 0 where none was asked for, null where
// the button is not there.
const press = async (page, find, what) => {
  const asked = [], answered = new Map()
  const ask = r => {
    if ((r.isNavigationRequest() && r.frame() === page.mainFrame()) || r.headers()['hx-request'] === 'true')
      asked.push(r)
  }
  const answer = r => answered.set(r.request(), r.status())
  page.on('request', ask)
  page.on('response', answer)
  try {
    // A document that goes takes its mark along. A changed address alone does not end the wait for another page.
    const sent = await page.evaluate(([source, what]) => {
      const button = eval(source)(what)
      if (!button) return null
      const { form } = button
      const leaves = button.type === 'submit' && !!form && form.method !== 'dialog'
      const swaps = leaves && [...button.attributes, ...form.attributes].some(a => a.name.startsWith('hx-'))
      window.stays = true
      button.click()
      return {
        leaves,
        swaps,
        to:
          leaves &&
          new URL(button.getAttribute('formaction') || form.getAttribute('action') || '', location.href).pathname,
      }
    }, [`(${find})`, what])
    if (!sent) return null
    if (!sent.leaves) return 0
    if (sent.swaps) { // or leads elsewhere, if the answer says so
      const mine = () => asked.find(r => new URL(r.url()).pathname === sent.to && answered.has(r))
      await until(`the answer of ${sent.to}`, mine)
      await page.waitForFunction(
        () => document.readyState === 'complete' && !document.querySelector('.htmx-request'),
        null,
        { polling: 25 },
      )
      return answered.get(mine())
    }
    await page.waitForFunction(() => !window.stays && document.readyState === 'complete', null, { polling: 25 })
    return answered.get(asked.findLast(r => r.isNavigationRequest() && answered.has(r)))
  } finally {
    page.off('request', ask)
    page.off('response', answer)
  }
}

// save presses the button of a form, and returns the status of the answer.
const save = async (page, action, busy) => {
  const status = await press(
    page,
    a =>
      [...formAt(a).querySelectorAll('button')].find(
        b => b.type === 'submit' && !b.name && !b.formNoValidate && !b.hasAttribute('formaction'),
      ),
    action,
  )
  if (!status || status >= 400 && !(busy && status === 409)) {
    assert.fail(`saving ${action} answered ${status}: ${(await page.locator('main').innerText()).slice(0, 1500)}`)
  }
  return status
}

// change writes another value into each field that can be seen, and returns what is then to be seen again.
const change = async (page, action, values) => {
  const list = await page.evaluate(([a, known]) => {
    const form = formAt(a), changed = []
    for (const el of typed(form)) {
      const box = el.type === 'checkbox' || el.type === 'radio'
      if (!(box ? el.closest('label, .option, fieldset') || el : el).checkVisibility()) continue
      if (el.name in known && known[el.name] === null) continue
      if (el.name.startsWith('param.') && el.tagName === 'SELECT') known[el.name] = undefined
      changed.push({
        name: el.name,
        index: [...form.elements].filter(o => o.name === el.name).indexOf(el),
        kind: el.type,
        value: el.value,
        checked: el.checked,
      })
    }
    return changed
  }, [action, Object.fromEntries(Object.entries(values).map(([k, v]) => [k, v === null ? null : 0]))])
  for (const field of list) {
    const given = values[field.name]
    field.to = typeof given === 'function' ? given(field.value) : given
    if (field.to === undefined && /^budget_/.test(field.name)) field.to = String((Number(field.value) || 1) * 10)
    if (field.to === undefined && field.kind === 'textarea') field.to = `${field.value.trimEnd() || 'text'}\n\nmore`
    if (field.to === undefined && field.kind === 'number') field.to = String((Number(field.value) || 1) + 1)
    if (field.to === undefined && field.kind === 'datetime-local') field.to = '2091-02-03T04:05'
    if (field.to === undefined && ['text', 'search', 'email', 'url', 'password'].includes(field.kind))
      field.to = `${field.value || 'some'} x`
  }
  await page.evaluate(([a, fields]) => {
    const form = formAt(a)
    for (const f of fields) {
      const el = [...form.elements].filter(o => o.name === f.name)[f.index]
      if (!el) continue
      const say = () => { for (const type of ['input', 'change']) el.dispatchEvent(new Event(type, { bubbles: true })) }
      if (f.kind === 'checkbox') el.checked = !el.checked
      else if (f.kind === 'radio') el.checked = f.to === undefined ? !f.checked && !el.disabled : el.value === f.to
      else if (f.kind === 'select-one') {
        const other = [...el.options].find(o =>
          f.to === undefined ? !o.selected && !o.disabled && o.value : o.value === f.to,
        )
        if (!other) continue
        el.value = other.value
      } else el.value = f.to
      say()
    }
  }, [action, list])
  await page.waitForFunction(() => !document.querySelector('.htmx-request'))
  return page.evaluate(([a, names]) => {
    const all = data(formAt(a))
    return Object.fromEntries(names.map(n => [n, all[n] || []]))
  }, [action, [...new Set(list.map(f => f.name))]])
}

await scenario(async ({ open, step }) => {
  const page = await open()
  const wrong = []
  const sent = new Set()
  page.context().on('request', r => {
    if (r.method() === 'POST') sent.add(new URL(r.url()).pathname)
  })
  const attempt = async (what, act) => {
    try {
      await act()
    } catch (err) {
      wrong.push(`${what}: ${err.message}`)
      console.log(`  ${err.message.split('\n')[0]}`)
    }
  }
  await page.goto('/login')
  await signIn(page)
  await page.getByRole('heading', { level: 1, name: 'Overview' }).waitFor()

  step('the forms of all pages')
  const found = []
  const controls = new Map()
  const links = new Map()
  const look = async ({ route, path }) => {
    if (
      /^\/(static|api|mcp|login|setup|join|healthz|readyz|metrics)/.test(route) ||
      /\/(stream|events\.ndjson)$/.test(route)
    )
      return
    if (!await openAt(page, path)) return
    const seen = await page.evaluate(() => ({
      forms: [...document.querySelectorAll('form[method=post]')]
        .filter(f => typed(f).length)
        .map(f => f.getAttribute('action')),
      buttons: [...document.querySelectorAll('button, main summary, nav summary')].map(b => ({
        name: nameOf(b),
        sends: sendsTo(b),
        kind: kindOf(b),
        named: namedOf(b),
        filled:
          b.type === 'submit' && !!b.form && typed(b.form).length > 0 && !b.hasAttribute('formaction') && !namedOf(b),
      })),
      links: [...document.querySelectorAll('a[href^="/"]')].map(a => a.getAttribute('href')),
    }))
    for (const action of new Set(seen.forms))
      if (!found.some(f => f.action === action)) found.push({ path, route, action })
    for (const b of seen.buttons) {
      const key = `${b.kind} ${b.sends && pattern(b.sends)} ${b.sends ? b.named : b.name}`
      if (!controls.has(key)) controls.set(key, { ...b, route, key, at: [] })
      controls.get(key).at.push({ path, name: b.name, sends: b.sends })
    }
    for (const href of seen.links) if (!links.has(pattern(href))) links.set(pattern(href), href)
  }
  for (const p of pages) await look(p)
  const unknown = found.filter(f => !forms[pattern(f.action)])
  for (const f of unknown)
    wrong.push(`the form of ${f.route} that is sent to ${pattern(f.action)} has no line in forms.test.mjs`)

  for (const f of found.filter(o => forms[pattern(o.action)]?.stored)) {
    const what = `${f.path} → ${f.action}`, known = forms[pattern(f.action)]
    if (known.once && [...sent].some(path => pattern(path) === pattern(f.action))) continue
    step(what)
    await attempt(what + ', saved as it is', async () => {
      if (!await openAt(page, f.path)) assert.fail('it is not there any more')
      const before = await rows()
      await save(page, f.action)
      const after = await rows()
      for (const table of Object.keys(after)) assert.deepEqual(after[table], before[table], `rows of ${table}`)
    })
    await attempt(what + ', changed', async () => {
      await openAt(page, f.path)
      const want = await change(page, f.action, known.values || {})
      await save(page, f.action)
      await openAt(page, f.path)
      const now = await page.evaluate(a => data(formAt(a)), f.action)
      same(now, want)
    })
  }
  for (const f of found.filter(
    o => forms[pattern(o.action)] && !forms[pattern(o.action)].stored && !forms[pattern(o.action)].by,
  )) {
    const what = `${f.path} → ${f.action}`,
      known = forms[pattern(f.action)]
    if (known.once && [...sent].some(path => pattern(path) === pattern(f.action))) continue
    if (f.action.endsWith('/password')) continue // last, since the sign-in of this test uses it
    step(what)
    await attempt(what, async () => {
      if (!(await openAt(page, f.path))) assert.fail('it is not there any more')
      const want = await change(page, f.action, known.values || {})
      await save(page, f.action, known.busy)
      if (known.seen) await page.getByText(known.seen).first().waitFor({ state: 'attached' })
      if (known.again === undefined) return
      const to = new URL(page.url()).pathname.replace(/\/token$/, '')
      await openAt(page, to + known.again)
      const now = await page.evaluate(a => data(formAt(a)), to)
      same(now, want)
    })
  }

  step('the second of two times, in a night in which the clocks go back')
  await attempt('the second of two times', async () => {
    let asked = 0 // the answer to what is typed first comes after what is typed next
    await page.route('**/automations/moment*', async route => {
      if (asked++ === 0) await until('the second question', () => asked > 1)
      await route.continue().catch(() => {}) // nobody waits for it any more
    })
    await page.goto('/automations/new')
    await page.getByLabel('Name', { exact: true }).fill('In a long night')
    await page.getByRole('radio', { name: 'One-Time' }).check()
    await page.getByLabel('Time zone', { exact: true }).fill('America/New_York')
    await page.getByLabel('Time zone', { exact: true }).blur()
    await page.getByLabel('Run at', { exact: true }).fill('2040-11-04T01:30')
    await page.getByRole('radio', { name: 'The second, 01:30 EST (UTC-05:00)' }).check()
    await page.getByLabel('Provider', { exact: true }).selectOption('shell')
    await page.getByLabel('Prompt', { exact: true }).fill('true')
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByRole('heading', { level: 1, name: 'In a long night' }).waitFor()
    await page.getByRole('link', { name: 'Edit' }).click()
    assert.ok(await page.getByRole('radio', { name: 'The second, 01:30 EST (UTC-05:00)' }).isChecked())
    assert.ok(
      (await rows()).automations.some(text => text.includes('In a long night') && text.includes('2040-11-04T06:30:00')),
      'it runs at the second 01:30',
    )
    await page.unroute('**/automations/moment*')
  })

  step('a sign-in that ends while somebody types')
  await attempt('the sign-in that ends', async () => {
    await page.goto('/automations/new')
    await page.context().clearCookies()
    await page.getByLabel('Name', { exact: true }).fill('Typed while signed out')
    await page.getByLabel('Prompt', { exact: true }).fill('echo {{typed}}')
    await page.getByText('You were signed out.').waitFor()
    await page.getByRole('button', { name: 'Save' }).click()
    assert.equal(await page.getByLabel('Prompt', { exact: true }).inputValue(), 'echo {{typed}}')
    assert.equal(new URL(page.url()).pathname, '/automations/new')
    const other = await page.context().newPage()
    await other.goto('/login')
    await signIn(other)
    await other.getByRole('heading', { level: 1, name: 'Overview' }).waitFor()
    await page.getByLabel('Provider', { exact: true }).selectOption('shell')
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByRole('heading', { level: 1, name: 'Typed while signed out' }).waitFor()
    await other.close()
  })

  step('what those forms led to')
  for (const p of pages.filter(o =>
    ['/settings/profile', '/settings/tokens', '/settings/toggles', '/tickets/{id}'].includes(o.route),
  ))
    await look(p)

  // Buttons that end something come last, each on whatever is there to be ended.
  const ends = key =>
    /\{id\}\/deletion|deactivation|unlinking/.test(key)
      ? 4
      : /deletion|removal|sign-outs $|\/reset $/.test(key)
        ? 3
        : /bulk|revocation/.test(key)
          ? 2
          : /status=open/.test(key)
            ? -2
            : /status=in_progress/.test(key)
              ? -1
              : /stop |cancellation|completion|interruption|sign-outs|enabled=false/.test(key)
                ? 1
                : 0
  const context = page.context()
  // signing out is signin.test.mjs's; what is filled in was sent above
  const pressed = [...controls.values()]
    .filter(b => !/logout/.test(b.key) && !(b.sends && b.filled && !forms[pattern(b.sends)]?.by))
    .sort((a, b) => ends(a.key) - ends(b.key))
  const find = ([name, sends, kind, named]) =>
    [...document.querySelectorAll('button, main summary, nav summary')].find(
      el =>
        !el.disabled &&
        kindOf(el) === kind &&
        namedOf(el) === named &&
        (sends ? sendsTo(el) === sends : nameOf(el) === name),
    )
  const answers = []
  for (const b of pressed) {
    const what = `${b.route}: ${b.key}`
    step(what)
    const page = await context.newPage() // what one button leads to does not get in the way of the next
    await attempt(what, async () => {
      let refused = 0
      for (const { path, name, sends } of b.at) { // what was pressed before has changed some pages, or is in its way
        if (!await openAt(page, path)) continue
        const changes = b.sends && !changesNothing.test(b.key + ' ')
        const before = changes && await rows()
        const status = await press(page, find, [name, sends, b.kind, b.named])
        if (status === null) continue
        refused = status
        if (refused === 409 || refused === 422) continue // by a rule; what is told then is tested elsewhere
        assert.ok(refused < 400, `answered ${refused}`)
        if (changes) assert.notDeepEqual(await rows(), before, 'nothing has changed')
        return
      }
      if (refused) answers.push(`${what} answered ${refused}`)
      else assert.ok(b.sends && elsewhere[routeOf(new URL(b.sends, base).pathname)], 'it is not there any more')
    })
    await page.close()
  }

  step('the links')
  for (const [name, href] of links) {
    await attempt(`the link to ${name}`, async () => {
      const answer = await page.request.get(href, { maxRedirects: 5 })
      // some were deleted above
      assert.ok(answer.status() < 400 || answer.status() === 404, `answered ${answer.status()}`)
    })
  }

  step('the password')
  await attempt('the password', async () => {
    await openAt(page, '/settings/profile')
    const action = '/settings/profile/password'
    await change(page, action, forms[action].values)
    await save(page, action)
    await page.getByText(forms[action].seen).waitFor()
  })
  const reached = new Set([...sent].map(routeOf))
  for (const route of routes.filter(r => !reached.has(r) && !elsewhere[r])) {
    wrong.push(`nothing was sent to ${route}: no form or button of a page that was opened leads there`)
  }
  for (const a of answers) console.log('  ' + a)
  if (process.env.CONTROLS) console.log([...controls.keys()].sort().join('\n'))
  assert.equal(wrong.length, 0, '\n' + wrong.join('\n\n'))
})
