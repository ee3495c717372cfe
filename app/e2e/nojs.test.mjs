// With JavaScript switched off: signing in, an automation with a mistake and without, running it, reading what it did.
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { scenario, signIn, until } from './browser.mjs'

const gate = join(process.env.GATES, 'go')

await scenario(async ({ open, step }) => {
  const page = await open({ javaScriptEnabled: false })
  const heading = name => page.getByRole('heading', { level: 1, name, exact: true })

  step('signing in, to a page that was asked for')
  await page.goto('/automations')
  await signIn(page)
  await heading('Automations').waitFor()

  step('an automation with a mistake keeps what was typed')
  await page.getByRole('link', { name: 'New automation' }).first().click()
  await heading('New automation').waitFor()
  await page.getByLabel('Name', { exact: true }).fill('Count words')
  await page.getByRole('radio', { name: 'Recurring' }).check()
  await page.getByLabel('Cron expression').fill('0 25 * * *')
  await page.getByLabel('Provider').selectOption('shell')
  await page
    .getByLabel('Prompt')
    .fill(`echo Counting\nuntil [ -e '${gate}' ]; do sleep 0.02; done\necho "{{text}}" | wc -w\necho Counted`)
  await page.getByRole('button', { name: 'Save' }).click()
  await page.getByText('One thing to fix before saving').waitFor()
  assert.equal(await page.getByLabel('Name', { exact: true }).inputValue(), 'Count words')
  assert.equal(await page.getByLabel('Cron expression').inputValue(), '0 25 * * *')
  assert.match(await page.getByLabel('Prompt').inputValue(), /^echo Counting\n/)
  await page.getByRole('link', { name: /^Cron expression: / }).click()
  assert.equal(new URL(page.url()).hash, '#cron', 'the summary leads to the field')

  step('which fields show follows what is chosen, by the style sheet alone')
  await page.getByRole('radio', { name: 'Loop' }).check()
  await page.getByLabel('Maximum iterations').waitFor()
  assert.equal(await page.getByLabel('Cron expression').isVisible(), false)
  await page.getByRole('radio', { name: 'Manual' }).check()
  await page.getByRole('button', { name: 'Save' }).click()
  await heading('Count words').waitFor()

  step('Run now asks on a page of its own')
  await page.getByRole('button', { name: 'Run now' }).click()
  await heading('Run now').waitFor()
  await page.getByLabel('text').fill('one two three')
  await page.getByRole('button', { name: 'Run now' }).click()

  step('its session is read while it runs, by loading the page again')
  await heading('Count words').waitFor()
  const session = await until('the link to the session', async () => {
    if (new URL(page.url()).pathname.startsWith('/sessions/')) return page.url()
    return page.getByRole('link', { name: 'Open session' }).getAttribute('href')
  })
  const reads = text => until(`the session to say ${text}`, async () => {
    await page.goto(session)
    return await page.getByText(text, { exact: true }).first().isVisible()
  })
  await reads('Counting')
  assert.equal(await page.getByRole('log').getByRole('group').getByText('Counted').count(), 0)
  writeFileSync(gate, '')
  await reads('Done')
  const printed = await page.getByRole('log').getByRole('group', { name: 'Output' }).allTextContents()
  assert.match(printed.join('\n'), /Counting\s+3\s+Counted/)

  step('opening it again and closing it')
  await page.getByRole('button', { name: 'Reopen' }).click()
  await page.getByRole('button', { name: 'Mark done' }).click()
  await page.getByRole('button', { name: 'Reopen' }).waitFor()

  step('signing out')
  await page.goto('/automations')
  assert.match(await page.getByRole('row', { name: /Count words/ }).textContent(), /Manual/)
  await page.locator('summary', { hasText: 'ada' }).click()
  await page.getByRole('button', { name: 'Sign out' }).click()
  await heading('Sign in').waitFor()
})
