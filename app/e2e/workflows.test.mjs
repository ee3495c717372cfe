// A workflow with steps of every kind: made with mistakes and without, rearranged by keyboard and by drag, looked at,
// copied, run by an agent, failed, and removed while an automation uses it. Then once more without JavaScript.
import assert from 'node:assert/strict'
import { inspect, scenario, signIn, tabTo, until } from './browser.mjs'

const secret = 'hunter2-hunter2'

await scenario(async ({ open, step }) => {
  const page = await open()
  const heading = name => page.getByRole('heading', { level: 1, name, exact: true })
  const field = (name, on = page) => on.getByLabel(name, { exact: true })
  const button = (name, on = page) => on.getByRole('button', { name, exact: true })
  const numbers = async () => {
    const rows = await page.locator('.flow-row').evaluateAll(list =>
      list.map(li => {
        const number = li.querySelector('.flow-bar strong').textContent.replace('Step ', '')
        return `${number} ${li.querySelector('[name=step_label]').value}`
      }),
    )
    return rows.join(', ')
  }
  const rowsAre = want => until(`the steps ${want}`, async () => await numbers() === want)
  const add = async (number, kind, label, values = {}) => {
    if (number !== '1') await button('Add a step').click()
    await field(`Kind of step ${number}`).selectOption({ label: kind })
    await field(`Label of step ${number}`).fill(label)
    for (const [name, value] of Object.entries(values)) await field(name).fill(value)
  }

  step('an agent')
  await page.goto('/settings/providers/new')
  await signIn(page)
  await field('Name').fill('Our agent')
  await field('Command').fill(process.env.AGENT)
  await button('Save').click()
  await page.getByRole('region', { name: 'Our agent' }).waitFor()

  step('a workflow with mistakes: said beside the fields, what was typed is kept')
  await page.goto('/workflows')
  await page.getByRole('link', { name: 'New workflow' }).first().click()
  await heading('New workflow').waitFor()
  await add('1', 'Message', 'Plan', {
    'Text of step 1': 'Plan for $topic with $count people. [[say Planned for $topic.]]',
  })
  await add('2', 'Asset', 'Write down', {
    'Text of step 2': 'Plan for ${topic}, dry run: $dry-run, $size\n',
    'File of step 2': '../plan.md',
  })
  await add('3', 'Loop block', 'Until it knows', {
    'Rounds at most of step 3': '0',
    'Until an answer contains of step 3': 'I know you: yes',
  })
  const parameters = [
    ['topic', 'Text', 'Topic', 'harbours'],
    ['count', 'Number', 'People', 'many'],
    ['dry-run', 'Boolean', 'Dry run', 'true'],
    ['size', 'Choice', 'Size', 'small'],
    ['key', 'Secret', 'Key', ''],
  ]
  for (const [i, [alias, type, label, value]] of parameters.entries()) {
    await button('Add a parameter').click()
    await field(`Alias of parameter ${i + 1}`).fill(alias)
    await field(`Type of parameter ${i + 1}`).selectOption({ label: type })
    await field(`Label of parameter ${i + 1}`).fill(label)
    await field(`Default of parameter ${i + 1}`).fill(value)
    if (type === 'Choice') await field(`Choices of parameter ${i + 1}`).fill('small, large')
    else assert.ok(!await field(`Choices of parameter ${i + 1}`).isVisible())
  }
  await page.getByRole('checkbox', { name: 'Required' }).last().check()
  await button('Save').click()
  await page.getByText('5 things to fix before saving').waitFor()
  for (const name of [
    'Name',
    'File of step 2',
    'Rounds at most of step 3',
    'Kind of step 3',
    'Default of parameter 2',
  ]) {
    assert.equal(await field(name).getAttribute('aria-invalid'), 'true', `${name} is marked`)
  }
  assert.equal(await field('File of step 2').inputValue(), '../plan.md')
  assert.equal(await field('Choices of parameter 4').inputValue(), 'small, large')
  assert.ok(await page.getByRole('checkbox', { name: 'Required' }).last().isChecked())
  await inspect(page, 'workflow-mistakes')
  await field('Name').fill('Look after harbours')
  await field('File of step 2').fill('docs/plan.md')
  await field('Rounds at most of step 3').fill('3')
  await field('Default of parameter 2').fill('4')

  step('steps of the other kinds')
  await add('4', 'Clear Context', 'Forget')
  await add('5', 'Send System Message', 'Style', { 'Text of step 5': 'Keep to plain words.' })
  await add('6', 'Generate Instruction File', 'Rules', { 'Text of step 6': 'Be brief about $topic.' })
  await add('7', 'Message', 'Use the key', { 'Text of step 7': 'Sign in. [[say I used $key.]]' })
  await add('8', 'Complete Session', 'End')
  await page.getByLabel('Complete only if no file changes').last().check()
  await add('9', 'Message', 'Look', { 'Text of step 9': 'Look around.' })
  await rowsAre('1 Plan, 2 Write down, 3 Until it knows, 4 Forget, 5 Style, 6 Rules, 7 Use the key, 8 End, 9 Look')

  step('by keyboard: the focus stays with the step, and its new place is told')
  await tabTo(page, button('Move up: step 4'), 200)
  await page.keyboard.press('Enter')
  await rowsAre('1 Plan, 2 Write down, 3 Until it knows, 3.1 Forget, 4 Style, 5 Rules, 6 Use the key, 7 End, 8 Look')
  await until(
    'the announcement',
    async () => (await page.locator('#flow-said').textContent()) === 'Step 4 is step 3.1 now.',
  )
  await until('the focus', () => button('Move up: step 3.1').evaluate(el => el === document.activeElement))
  await page.keyboard.press('Enter')
  await rowsAre('1 Plan, 2 Write down, 3 Forget, 4 Until it knows, 5 Style, 6 Rules, 7 Use the key, 8 End, 9 Look')
  await until('the focus', () => button('Move up: step 3').evaluate(el => el === document.activeElement))

  step('by drag: into the loop block, and the loop block as a whole')
  const drag = async (from, to, x, part) => {
    const grip = page
      .locator('.flow-row')
      .filter({ has: page.getByText(`Step ${from}`, { exact: true }) })
      .locator('[data-grip]')
    const target = page.locator('.flow-row').filter({ has: page.getByText(`Step ${to}`, { exact: true }) })
    await page.setViewportSize({ width: 1280, height: 4000 })
    const [a, b] = [await grip.boundingBox(), await target.boundingBox()]
    await page.mouse.move(a.x + a.width / 2, a.y + a.height / 2)
    await page.mouse.down()
    await page.mouse.move(b.x + x, b.y + b.height * part, { steps: 4 })
    await page.locator('.flow-mark').waitFor({ state: 'attached' })
    await page.mouse.up()
    await page.setViewportSize({ width: 1280, height: 900 })
  }
  await drag('9', '4', 120, 0.9)
  await rowsAre('1 Plan, 2 Write down, 3 Forget, 4 Until it knows, 4.1 Look, 5 Style, 6 Rules, 7 Use the key, 8 End')
  await until(
    'the announcement',
    async () => (await page.locator('#flow-said').textContent()) === 'Step 9 is step 4.1 now.',
  )
  await drag('4', '6', 20, 0.9)
  await rowsAre('1 Plan, 2 Write down, 3 Forget, 4 Style, 5 Rules, 6 Until it knows, 6.1 Look, 7 Use the key, 8 End')
  await drag('5', '1', 20, 0.9)
  await rowsAre('1 Plan, 2 Rules, 3 Write down, 4 Forget, 5 Style, 6 Until it knows, 6.1 Look, 7 Use the key, 8 End')
  assert.equal(await field('Text of step 6.1').inputValue(), 'Look around.', 'what was typed went along')

  step('the preview fills in the defaults, and shows no secret')
  await field('Default of parameter 5').fill(secret)
  await button('Preview').click()
  const preview = page.locator('#preview')
  await preview.getByText('Plan for harbours with 4 people.').waitFor()
  await preview.getByText('Plan for harbours, dry run: true, small').waitFor()
  await preview.getByText('I used ••••••.').waitFor()
  await inspect(page, 'workflow-editor')
  await field('Default of parameter 5').fill('')

  step('it is saved, and duplicated')
  await button('Save').click()
  await heading('Look after harbours').waitFor()
  const workflow = page.url()
  await page.getByText('No automations.', { exact: true }).first().waitFor()
  await inspect(page, 'workflow')
  await button('Duplicate').click()
  await heading('Edit workflow').waitFor()
  await rowsAre('1 Plan, 2 Rules, 3 Write down, 4 Forget, 5 Style, 6 Until it knows, 6.1 Look, 7 Use the key, 8 End')
  await field('Name').fill('A copy')
  await button('Save').click()
  await heading('A copy').waitFor()
  await page.goto('/workflows')
  assert.equal(await page.getByRole('row').count(), 3)

  step('an automation asks for its parameters')
  await page.goto('/automations/new')
  await field('Name').fill('Harbours')
  await page.getByRole('radio', { name: 'Recurring' }).check()
  await field('Cron expression').fill('0 4 * * *')
  await field('Provider').selectOption({ label: 'Our agent' })
  await page.getByRole('radio', { name: 'Workflow' }).check()
  await page.getByRole('combobox', { name: 'Workflow', exact: true }).selectOption({ label: 'Look after harbours' })
  await field('Topic').waitFor()
  await field('People').fill('12')
  await field('Size').selectOption('large')
  await field('Dry run').selectOption({ label: 'No' })
  await field('Key').fill(secret)
  await field('Cron expression').fill('0 4 * *')
  await button('Save').click()
  await page.getByText(/to fix before saving/).waitFor()
  assert.equal(await field('Size').inputValue(), 'large')
  await field('Cron expression').fill('0 4 * * *')
  assert.equal(await field('People').inputValue(), '12')
  await field('Key').fill(secret)
  await page.getByText('Every day at 04:00').waitFor() // the preview follows what is typed
  await inspect(page, 'workflow-parameters')
  await button('Save').click()
  await heading('Harbours').waitFor()
  const automation = page.url()

  step('Run now asks with the stored values, and the session shows how far each step is')
  const run = async () => {
    await page.goto(automation)
    await button('Run now').click()
    const dialog = page.getByRole('dialog')
    assert.equal(await field('People', dialog).inputValue(), '12')
    assert.equal(await field('Key', dialog).inputValue(), '')
    await field('Topic', dialog).fill('piers')
    await button('Run now', dialog).click()
    await page.waitForURL(/\/sessions\//)
  }
  await run()
  const steps = page.getByRole('region', { name: 'Steps of the workflow' })
  await steps.getByText('9 of 9').waitFor()
  await page.getByText('Waiting').first().waitFor()
  await steps.getByText('Look, round 2').waitFor()
  const log = page.getByRole('log', { name: 'Transcript' })
  await log.getByText('Planned for piers.', { exact: true }).waitFor()
  await log.getByText('I used ••••••.', { exact: true }).first().waitFor()
  assert.equal(
    await log.getByText('I know you: no.').count(),
    1,
    'after Clear Context it knows nothing, and in the next round it does',
  )
  await log.getByText('Files have changed, so the session stays open.').waitFor()
  const changes = page.getByRole('region', { name: 'Changed files' })
  for (const name of ['AGENTS.md', 'docs/plan.md']) await changes.getByText(name).first().waitFor()
  await changes.getByText('Plan for piers, dry run: false, large').waitFor()
  assert.ok(!(await page.content()).includes(secret), 'the secret is not on the page')

  step('a failed step says which')
  await page.goto(workflow + '/edit')
  await field('Text of step 3').fill('x')
  await field('File of step 3').fill('AGENTS.md/x')
  await button('Save').click()
  await heading('Look after harbours').waitFor()
  await run()
  await steps.getByText('Failed').waitFor()
  const failed = steps.getByRole('listitem').filter({ hasText: 'Failed' })
  assert.match(await failed.textContent(), /^\s*3\s*Write down/)
  assert.match(await failed.textContent(), /AGENTS\.md\/x could not be written: not a directory/)
  await inspect(page, 'session-workflow-failed')

  await page.goto(automation)
  await page.getByText('step 3 Write down failed: AGENTS.md/x could not be written').first().waitFor()

  step('removing it says who uses it, and switches that off with a notice')
  await page.goto(workflow)
  await page.getByRole('link', { name: 'Harbours' }).waitFor()
  await button('Delete…').click()
  await page.getByRole('dialog').getByText('1 automation uses it').waitFor()
  await inspect(page, 'workflow-removal')
  await button('Delete', page.getByRole('dialog')).click()
  await heading('Workflows').waitFor()
  await page.goto(automation)
  await page.getByText('It is off since').waitFor()
  assert.equal(await page.getByRole('switch', { name: 'Enabled' }).isChecked(), false)
  await page.goto('/inbox')
  await page.getByRole('link', { name: /Harbours/ }).filter({ hasText: /workflow/i }).first().waitFor()

  step('without JavaScript: rows are added and moved by their buttons')
  const plain = await open({ javaScriptEnabled: false })
  await plain.goto('/workflows/new')
  await signIn(plain)
  await field('Text of step 1', plain).fill('echo two')
  await button('Add a step', plain).click()
  assert.ok(
    await field('Kind of step 2', plain).evaluate(el => el === document.activeElement),
    'the new step has the focus',
  )
  await field('Text of step 2', plain).fill('echo one')
  await button('Move up: step 2', plain).click()
  assert.equal(await field('Text of step 1', plain).inputValue(), 'echo one')
  assert.equal(await plain.locator('[data-grip]').first().isVisible(), false)
  await field('Name', plain).fill('Count')
  await button('Preview', plain).click()
  await plain.locator('#preview').getByText('echo two').waitFor()
  await button('Save', plain).click()
  await plain.getByRole('heading', { level: 1, name: 'Count' }).waitFor()
})
