// What a run has to pass and may use: the editor's parts, a run that its gate skips, one that finds nothing to do, the
// texts of the session toggles, and usage.
import assert from 'node:assert/strict'
import { inspect, scenario, signIn, until } from './browser.mjs'

await scenario(async ({ open, step }) => {
  const page = await open()
  const heading = name => page.getByRole('heading', { level: 1, name, exact: true })
  const part = title => page.locator('summary').filter({ hasText: title })

  step('the parts of the editor are folded, and open where there is a mistake')
  await page.goto('/automations/new')
  await signIn(page)
  await heading('New automation').waitFor()
  for (const name of [
    'Code Architecture',
    'UX Enhancement',
    'Edge Cases',
    'Code Review',
    'Verification',
    'Update Tests',
    'Update Docs',
  ]) {
    await page.getByLabel(name, { exact: true }).waitFor()
  }
  assert.ok(!await page.getByLabel('Gate command').isVisible())
  await page.getByLabel('Name', { exact: true }).fill('Watch')
  await page.getByLabel('Provider').selectOption('shell')
  await page.getByText('Scripts take no instructions').waitFor()
  await page.getByLabel('Prompt').fill('echo "All is well."; echo NOTHING TO DO')
  await page.getByLabel('Edge Cases', { exact: true }).check()
  await part('Budget').click()
  await page.getByLabel('A day, US dollars').fill('5')
  await page.getByRole('button', { name: 'Save' }).click()
  await page.getByText('2 things to fix before saving').waitFor()
  assert.equal(await page.getByLabel('A day, US dollars').getAttribute('aria-invalid'), 'true')
  await inspect(page, 'quality-mistakes')

  step('a gate that does not let the run begin')
  await page.getByLabel('Edge Cases', { exact: true }).uncheck()
  await page.getByLabel('A day, US dollars').fill('')
  await page.getByLabel('A day, messages').fill('2')
  await part('Gate').click()
  await page.getByLabel('Gate command').fill('echo "Nothing new." >&2; exit 3')
  await page.getByRole('button', { name: 'Save' }).click()
  await heading('Watch').waitFor()
  const address = page.url()
  const run = async () => {
    await page.goto(address)
    await page.getByRole('button', { name: 'Run now' }).click()
    await until(
      'the run',
      async () => /\/sessions\//.test(page.url()) || !(await page.getByRole('button', { name: 'Run now' }).isEnabled()),
    )
  }
  const says = async text => until(text, async () => {
    await page.goto(address)
    return await page.getByText(text).first().isVisible()
  })
  await run()
  await says('its gate did not let it begin')
  await page.getByText('Skipped').first().waitFor()
  await inspect(page, 'quality-skipped')

  step('without the gate it finds nothing to do, which is a success')
  await page.getByRole('link', { name: 'Edit' }).click()
  await page.getByLabel('Gate command').fill('')
  await page.getByRole('button', { name: 'Save' }).click()
  await heading('Watch').waitFor()
  await run()
  await says('Nothing to do')
  await inspect(page, 'quality-nothing')

  step('its budget is shown, and raised with one click')
  await page.goto(address + '/settings')
  await page.getByText('1 message of 2 messages a day, 50 %').waitFor()
  await inspect(page, 'quality-settings')
  await page.getByRole('button', { name: /Raise by 50 %/ }).click()
  await page.getByText('1 message of 3 messages a day, 33 %').waitFor()

  step('usage of the month: scripts use none, and take time')
  await page.goto('/executions')
  await page.getByRole('link', { name: 'Usage' }).click()
  await page.getByRole('heading', { level: 1, name: /^Usage in / }).waitFor()
  await page.getByRole('cell', { name: '–' }).first().waitFor()
  await inspect(page, 'usage')

  step('a session toggle is told in other words, and reset')
  await page.getByRole('link', { name: 'Session toggles' }).click()
  await heading('Session toggles').waitFor()
  await page.getByLabel('Edge Cases', { exact: true }).fill('Mind the gap.')
  await page.getByRole('button', { name: 'Save' }).click()
  await page.getByRole('button', { name: /Reset/ }).waitFor()
  assert.equal(await page.getByLabel('Edge Cases', { exact: true }).inputValue(), 'Mind the gap.')
  await inspect(page, 'toggles')
  await page.getByRole('button', { name: /Reset/ }).click()
  await until('the text as it was', async () =>
    (await page.getByLabel('Edge Cases', { exact: true }).inputValue()).startsWith('Edge cases: think of'),
  )
})
