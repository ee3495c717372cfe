// The first administrator, signing in and out, and a deep link that survives it.
import assert from 'node:assert/strict'
import { admin, axe, inspect, scenario, setUp, signIn, signOut, until } from './browser.mjs'

await scenario(async ({ open, step }) => {
  const zone = 'Asia/Tokyo'
  const page = await open({ timezoneId: zone })

  step('a stranger is told where the link to set up is')
  await page.goto('/')
  assert.equal(new URL(page.url()).pathname, '/login')
  await page.getByText('Open the link that the server printed').waitFor()

  step('nobody sets it up without the link')
  assert.equal((await page.goto('/setup')).status(), 404)
  assert.equal((await page.goto('/setup?token=guessed')).status(), 404)

  step('the form to set it up keeps what was typed and says what is wrong')
  await page.goto(process.env.SETUP)
  const timeZone = page.getByLabel('Time zone')
  await until('the time zone of the browser to be proposed', async () => await timeZone.inputValue() === zone)
  await timeZone.fill('Europe/Lisbon')
  await page.getByLabel('Name').fill(admin.name)
  await page.getByLabel('Email').fill(admin.email)
  await page.getByLabel('Password').fill('short')
  await page.getByRole('button', { name: 'Create administrator' }).click()
  await page.getByText('One thing to fix').waitFor()
  assert.equal(await page.getByLabel('Name').inputValue(), admin.name)
  assert.equal(await page.getByLabel('Email').inputValue(), admin.email)
  assert.equal(await page.getByLabel('Password').inputValue(), '', 'a password is never sent back')
  assert.equal(await timeZone.inputValue(), 'Europe/Lisbon', 'what was typed is kept, not the proposal')
  await inspect(page, 'setup')

  step('the link makes the first administrator, who is signed in')
  await setUp(page)
  await page.goto('/settings/profile')
  assert.equal(await timeZone.inputValue(), zone)
  await page.goto('/')
  await inspect(page, 'overview-empty')

  step('what fetches itself anew does not fade while the answer is awaited')
  let answer
  const held = new Promise(done => { answer = done })
  await page.route('**/inbox/link*', async route => {
    await held
    await route.continue()
  })
  await page.evaluate(() => document.body.dispatchEvent(new Event('inbox')))
  const fetching = page.locator('#inbox-link.htmx-request')
  await fetching.waitFor()
  assert.equal(await fetching.evaluate(el => getComputedStyle(el).opacity), '1')
  answer()
  await fetching.waitFor({ state: 'detached' })
  await page.unroute('**/inbox/link*')

  step('the link works once')
  assert.equal((await page.goto(process.env.SETUP)).status(), 404)
  await page.goto('/')

  step('signing out')
  await signOut(page)
  await inspect(page, 'login')
  await page.goBack()
  await page.goto('/automations')
  assert.equal(new URL(page.url()).pathname, '/login', 'after signing out nothing is open')

  step('a wrong password is refused with the same words as an unknown address, and the address is kept')
  await signIn(page, { ...admin, password: 'not this one at all' })
  const wrong = page.getByText('The e-mail address or the password is wrong.')
  await wrong.waitFor()
  assert.equal(await page.getByLabel('Email').inputValue(), admin.email)
  assert.equal(await page.getByLabel('Password').inputValue(), '')
  await axe(page)
  await signIn(page, { email: 'nobody@example.com', password: 'not this one at all' })
  await wrong.waitFor()

  step('a deep link survives the mistake and the sign-in')
  await page.goto('/executions?status=failed&trigger=manual')
  await signIn(page, { ...admin, password: 'not this one at all' })
  await wrong.waitFor()
  await signIn(page)
  await page.getByRole('heading', { level: 1, name: 'History' }).waitFor()
  const { pathname, search } = new URL(page.url())
  assert.equal(pathname + search, '/executions?status=failed&trigger=manual')

  step('a link to another site is not followed after signing in')
  await signOut(page)
  await page.goto('/login?next=' + encodeURIComponent('//example.com/phish'))
  await signIn(page)
  await page.getByRole('heading', { level: 1, name: 'Overview' }).waitFor()
  assert.equal(new URL(page.url()).origin, process.env.BASE)

  step('the keyboard alone signs in')
  await signOut(page)
  await page.goto('/login')
  // the address has the focus, once the page is shown
  await page.getByLabel('Email').and(page.locator(':focus')).waitFor()
  await page.keyboard.type(admin.email)
  await page.keyboard.press('Tab')
  await page.keyboard.type(admin.password)
  await page.keyboard.press('Enter')
  await page.getByRole('heading', { level: 1, name: 'Overview' }).waitFor()

  step('loading a page again that showed a secret makes no other secret')
  await page.goto('/settings/tokens')
  await page.getByLabel('Name', { exact: true }).fill('Nightly')
  await page.getByRole('button', { name: 'Create token' }).click()
  await page.getByText('Copy the token now.').waitFor()
  await page.reload()
  assert.equal(await page.getByRole('cell', { name: 'Nightly', exact: true }).count(), 1)
  await page.goto('/settings/users/new')
  await page.getByLabel('Email').fill('grace@example.com')
  await page.getByRole('button', { name: 'Invite' }).click()
  await page.getByText('It works once').waitFor()
  const invitation = new URL(await page.locator('#password-link').inputValue()).pathname
  await page.reload()
  assert.match(new URL(page.url()).pathname, /^\/settings\/users\/./)
  assert.equal(await page.getByText('It works once').count(), 0)

  step('another browser is not signed in')
  const other = await open({ timezoneId: 'America/Sao_Paulo' })
  await other.goto('/inbox')
  assert.equal(new URL(other.url()).pathname, '/login')

  step('who was invited joins by the link, with the time zone of their browser')
  await other.goto(invitation)
  await until(
    'the time zone of that browser to be proposed',
    async () => (await other.getByLabel('Time zone').inputValue()) === 'America/Sao_Paulo',
  )
  await other.getByLabel('Name').fill('Grace Hopper')
  await other.getByLabel('Password').fill(admin.password)
  await other.getByRole('button', { name: 'Join' }).click()
  await other.getByRole('heading', { level: 1, name: 'Overview' }).waitFor()
  assert.equal((await other.goto(invitation)).status(), 404, 'the link works once')
})
