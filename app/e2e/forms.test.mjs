// Every form of every page, in one browser: one of something stored is saved as it is, and nothing changes in the database; each of
// its fields is changed, and seen again. Every other form is filled in and sent. Then every button and menu is pressed, and every
// link followed. The pages are those of the server's table of routes. A form that has no line below fails the test.
import assert from 'node:assert/strict'
import { base, scenario, signIn } from './browser.mjs'

const pages = JSON.parse(process.env.PAGES)
const id = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g
const pattern = address => new URL(address, base).pathname.replace(id, '{id}').replace(/^\/settings\/providers\/(?!new$)[^/]+/, '/settings/providers/{provider}')

// What is to be known of a form, by the address to which it is sent. stored: something that is there is shown and changed. again:
// where what it made is shown in a form. values: by the name of a field, what to write; null leaves it as it is.
// seen: a text that is on the page to which the form leads.
const editor = {
  name: v => (v + ' 2').trim(), trigger: null, session_type: null, execution_type: null, provider: null, model: null, workflow: null, bot: null, workspace: null,
  cron: '30 4 2 2 *', time_zone: 'Asia/Tokyo', create_pr: null, // needs a forge
  gate_command: 'true\n\n# more', auto_complete: null, allow_parallel: null, // others depend on these
  signature_secret: null, sender: null, signature_header: null, filter_field: v => v && v + '.x', filter_value: v => v && v + ' 2', filter_operator: null,
  budget: '12', budget_run_money: '1.5', timeout: '17',
}
const forms = {
  '/automations/{id}': { stored: true, values: editor },
  '/automations': { again: '/edit', values: { ...editor, provider: 'shell', gate_command: 'true', success_command: 'true', toggles: null, budget_run_money: null, budget_day_money: null, budget_month_money: null,
    budget_run_tokens: null, budget_day_tokens: null, budget_month_tokens: null, budget_run_turns: null, budget_day_turns: null, budget_month_turns: null, success_pull_request: null, prompt: 'echo {{who}}' } },
  '/automations/{id}/token': { by: 'buttons' },
  '/bots/{id}': { stored: true, values: { allowed_tools: 'Read\nEdit' } },
  '/bots': { again: '/edit', values: { workspace: null, allowed_tools: 'Read' } },
  '/workflows/{id}': { stored: true, values: { step_kind: null, step_inside: null, parameter_alias: null, parameter_type: null, parameter_choices: null, parameter_default: v => v && v + '!', step_max: null, step_path: null, step_marker: null } },
  '/workflows': { again: '/edit', values: { step_kind: null, step_inside: null, step_max: null, step_path: null, step_marker: null } },
  '/tickets/{id}': { stored: true, values: { labels: 'qa, web' } },
  '/tickets': { again: '/edit', values: { labels: 'one, two', workspace: null } },
  '/workspaces/{id}': { stored: true, values: { url: null, branch: null, token: null, forge: null, forge_base: null, forge_secret: null, variable_name: 'KEY', variable_value: '-----BEGIN-----\nAAAA\n-----END-----\n', variable_secret: null, model: null, provider: 'shell' } },
  '/workspaces': { again: '/edit', values: { url: process.env.REPOSITORY, branch: 'main', token: null, forge: null, forge_base: null, forge_secret: null, variable_name: 'KEY', variable_value: 'a\nb', variable_secret: null, model: null, provider: 'shell' } },
  '/settings/roles/{id}': { stored: true },
  '/settings/roles': { again: '', values: { permissions: null } },
  '/settings/providers/{provider}': { stored: true, values: { state: '.mine\n.more', keys: 'MINE_KEY, MORE_KEY' } },
  '/settings/providers': { values: { command: 'other --acp', state: '.other', keys: 'OTHER_KEY' }, seen: 'Added.' },
  '/settings/providers/{provider}/models': { stored: true, values: { models: 'one\ntwo' } },
  '/settings/toggles': { stored: true },
  '/settings/profile': { stored: true, values: { theme: 'dark' } },
  '/settings/profile/notices': { stored: true, values: { webhook: null } },
  '/settings/profile/password': { values: { current: 'correct horse battery', password: 'correct horse battery 2' }, seen: 'The password was changed' },
  '/settings/users/{id}': { stored: true, values: { email: 'other@example.com' } },
  '/settings/users/{id}/roles': { stored: true },
  '/settings/users': { values: { email: 'mira@example.com', name: 'Mira', password: null, roles: null }, seen: 'invitation' },
  '/settings/users/{id}/memberships': { seen: '' },
  '/settings/users/{id}/transfer': { seen: '' },
  '/settings/tokens': { values: { name: 'Script', days: null, scope: null }, seen: 'Script' },
  '/automations/{id}/runs': { seen: '' },
  '/automations/{id}/transfer': { seen: '' },
  '/automations/bulk': { by: 'buttons' },
  '/sessions/{id}/messages': { values: { message: 'Go on.' }, seen: 'Go on.' },
  '/sessions/{id}/pull-request': { values: { url: 'https://example.com/o/r/pull/1', pull_request: 'https://example.com/o/r/pull/1' }, seen: '' },
  '/sessions/{id}/tickets': { values: { ticket: '#1' }, seen: '' },
  '/workspaces/{id}/members': { seen: '' },
}

// What a browser does with a form: what would be sent, and what can be seen and typed.
const inPage = () => {
  window.formAt = action => [...document.querySelectorAll('form[method=post]')].find(f => f.getAttribute('action') === action && window.typed(f).length)
  window.typed = form => [...form.elements].filter(el => el.name && !el.disabled && !el.readOnly && el.matches('input:not([type=hidden]), select, textarea:not([hidden])'))
  window.data = form => {
    const all = {}
    for (const [name, value] of new FormData(form)) if (name !== 'version' && name !== 'base') (all[name] ||= []).push(value.replaceAll('\r\n', '\n'))
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
const same = (now, want) => assert.deepEqual(Object.fromEntries(Object.keys(want).map(n => [n, (now[n] || []).slice(0, Math.max(want[n].length, want[n].length && /^(variable|filter)_/.test(n) ? 0 : (now[n] || []).length))])), want)
const rows = async () => (await fetch(process.env.ROWS)).json()

// save presses the button of a form, and returns the answer.
const save = async (page, action) => {
  const button = await page.evaluateHandle(a => {
    const form = formAt(a)
    return [...form.querySelectorAll('button')].find(b => b.type === 'submit' && !b.name && !b.formNoValidate && !b.hasAttribute('formaction'))
  }, action)
  const [answer] = await Promise.all([page.waitForNavigation(), button.evaluate(b => b.click())])
  if (answer && answer.status() >= 400) { // none where it led to another part of the same page
    assert.fail(`saving ${action} answered ${answer.status()}: ${(await page.locator('main').innerText()).slice(0, 1500)}`)
  }
  return answer
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
      changed.push({ name: el.name, index: [...form.elements].filter(o => o.name === el.name).indexOf(el), kind: el.type, value: el.value, checked: el.checked })
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
    if (field.to === undefined && ['text', 'search', 'email', 'url', 'password'].includes(field.kind)) field.to = `${field.value || 'some'} x`
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
        const other = [...el.options].find(o => f.to === undefined ? !o.selected && !o.disabled && o.value : o.value === f.to)
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
  const attempt = async (what, act) => {
    try { await act() } catch (err) { wrong.push(`${what}: ${err.message}`) }
  }
  await page.goto('/login')
  await signIn(page)
  await page.getByRole('heading', { level: 1, name: 'Overview' }).waitFor()

  step('the forms of all pages')
  const found = []
  const controls = new Map()
  const links = new Map()
  for (const { route, path } of pages) {
    if (/^\/(static|api|mcp|login|setup|join|healthz|readyz|metrics)/.test(route) || /\/(stream|events\.ndjson)$/.test(route)) continue
    if (!await openAt(page, path)) continue
    const seen = await page.evaluate(() => ({
      forms: [...document.querySelectorAll('form[method=post]')].filter(f => typed(f).length).map(f => f.getAttribute('action')),
      buttons: [...document.querySelectorAll('button, main summary, nav summary')].map((b, i) => ({
        index: i, name: (b.getAttribute('aria-label') || b.textContent).trim().replace(/\s+/g, ' '),
        sends: b.type === 'submit' && b.form && b.form.method === 'post' ? b.getAttribute('formaction') || b.form.getAttribute('action') : '', kind: b.tagName === 'SUMMARY' ? 'menu' : b.type,
        typed: !!b.form && typed(b.form).length > 0, named: b.name && b.value.length < 30 && !/[0-9a-f]{8}-/.test(b.value) ? b.name + '=' + b.value : '',
      })),
      links: [...document.querySelectorAll('a[href^="/"]')].map(a => a.getAttribute('href')),
    }))
    for (const action of new Set(seen.forms)) if (!found.some(f => f.action === action)) found.push({ path, route, action })
    for (const b of seen.buttons) {
      const key = `${b.kind} ${b.sends && pattern(b.sends)} ${b.sends ? b.named : b.name}`
      if (!controls.has(key)) controls.set(key, { ...b, path, route, key })
    }
    for (const href of seen.links) if (!links.has(pattern(href))) links.set(pattern(href), href)
  }
  const unknown = found.filter(f => !forms[pattern(f.action)])
  for (const f of unknown) wrong.push(`the form of ${f.route} that is sent to ${pattern(f.action)} has no line in forms.test.mjs`)

  for (const f of found.filter(o => forms[pattern(o.action)]?.stored)) {
    const what = `${f.path} → ${f.action}`, known = forms[pattern(f.action)]
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
  for (const f of found.filter(o => forms[pattern(o.action)] && !forms[pattern(o.action)].stored && !forms[pattern(o.action)].by)) {
    const what = `${f.path} → ${f.action}`, known = forms[pattern(f.action)]
    if (f.action.endsWith('/password')) continue // last, since the sign-in of this test uses it
    step(what)
    await attempt(what, async () => {
      if (!await openAt(page, f.path)) assert.fail('it is not there any more')
      const want = await change(page, f.action, known.values || {})
      await save(page, f.action)
      if (known.seen) await page.getByText(known.seen).first().waitFor({ state: 'attached' })
      if (known.again === undefined) return
      const to = new URL(page.url()).pathname.replace(/\/token$/, '')
      await openAt(page, to + known.again)
      const now = await page.evaluate(a => data(formAt(a)), to)
      same(now, want)
    })
  }

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

  // Buttons that end something come last, each on whatever is there to be ended.
  const ends = key => /\{id\}\/deletion|deactivation|unlinking/.test(key) ? 3 : /deletion|removal|revocation|sign-outs|reset/.test(key) ? 2 : /bulk/.test(key) ? 1 : 0
  const context = page.context()
  const pressed = [...controls.values()].filter(b => !/logout/.test(b.key) && !(b.typed && b.sends && !b.named && b.kind === 'submit')) // signing out is signin.test.mjs's
    .sort((a, b) => ends(a.key) - ends(b.key))
  const answers = []
  for (const b of pressed) {
    const what = `${b.route}: ${b.key}`
    step(what)
    const page = await context.newPage() // what one button leads to does not get in the way of the next
    await attempt(what, async () => {
      if (!await openAt(page, b.path)) return answers.push(`${what}: its page is gone`)
      const button = await page.evaluateHandle(([name, sends, kind, named]) => [...document.querySelectorAll('button, main summary, nav summary')].find(el =>
        (el.getAttribute('aria-label') || el.textContent).trim().replace(/\s+/g, ' ') === name && (el.tagName === 'SUMMARY' ? 'menu' : el.type) === kind
        && (!sends || (el.getAttribute('formaction') || el.form?.getAttribute('action')) === sends) && (!named || el.name + '=' + el.value === named)), [b.name, b.sends, b.kind, b.named])
      if (!await button.evaluate(el => !!el)) return answers.push(`${what}: is not there any more`)
      const swaps = await button.evaluate(el => [...el.attributes, ...el.form?.attributes || []].some(a => a.name.startsWith('hx-')))
      const leaves = await button.evaluate(el => el.type === 'submit' && !!el.form && el.form.method !== 'dialog')
      const waits = !leaves ? null : swaps ? page.waitForResponse(r => r.request().headers()['hx-request'] === 'true') : page.waitForNavigation()
      await button.evaluate(el => el.click())
      if (!waits) return
      const answer = await waits
      // 409 and 422 are answers of a rule; what is told then is tested elsewhere.
      assert.ok(!answer || answer.status() < 400 || answer.status() === 409 || answer.status() === 422, `answered ${answer.status()}`)
    })
    await page.close()
  }

  step('the links')
  for (const [name, href] of links) {
    await attempt(`the link to ${name}`, async () => {
      const answer = await page.request.get(href, { maxRedirects: 5 })
      assert.ok(answer.status() < 400 || answer.status() === 404, `answered ${answer.status()}`) // some were deleted above
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
  for (const a of answers) console.log('  ' + a)
  if (process.env.CONTROLS) console.log([...controls.keys()].sort().join('\n'))
  assert.equal(wrong.length, 0, '\n' + wrong.join('\n\n'))
})
