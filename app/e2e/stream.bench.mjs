// A live session in a browser, while its agent says a great deal: how much of it gets there, and when.
import { writeFileSync } from 'node:fs'
import { scenario, signIn } from './browser.mjs'

await scenario(async ({ open }) => {
  const page = await open()
  await page.goto(process.env.SESSION)
  await signIn(page)
  await page.locator('#transcript .turn-prompt').waitFor({ timeout: 600_000 })
  const devtools = await page.context().newCDPSession(page)
  const used = async () => {
    await devtools.send('HeapProfiler.collectGarbage')
    return (await devtools.send('Runtime.getHeapUsage')).usedSize / 2 ** 20
  }
  const before = await used()
  await page.evaluate(() => { // entries leave the page when there are many, so each is counted as it comes
    window.shown = 0
    new MutationObserver(list => {
      for (const m of list) window.shown += [...m.addedNodes].filter(n => n.classList?.contains('turn-tool')).length
    }).observe(document.getElementById('transcript'), { childList: true })
  })
  writeFileSync(process.env.START, '')
  const begun = performance.now()
  await page.waitForFunction(
    () => document.getElementById('transcript').lastElementChild.textContent.includes('Finished after'),
    null,
    { timeout: 600_000 },
  )
  const seconds = (performance.now() - begun) / 1000
  const shown = await page.evaluate(() => window.shown)
  console.log(JSON.stringify({ shown, seconds, page: await used() - before }))
})
