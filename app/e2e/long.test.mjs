// Names without a place to break, as long as they may be: no page is wider than its screen, nothing leaves its panel,
// and what stands beside such a name can be read.
import assert from 'node:assert/strict'
import { scenario, signIn } from './browser.mjs'

await scenario(async ({ open, step }) => {
  const page = await open({})
  await page.goto('/login')
  await signIn(page, { email: 'ada@example.com', password: 'correct horse battery' })
  await page.getByRole('heading', { level: 1, name: 'Overview' }).waitFor()
  const wrong = []
  for (const width of [390, 1280]) {
    await page.setViewportSize({ width, height: 900 })
    for (const path of process.env.PATHS.split(' ')) {
      step(`${path} at ${width} px`)
      await page.goto(path)
      const found = await page.evaluate(() => {
        const room = document.documentElement.clientWidth
        if (document.documentElement.scrollWidth <= room) return null
        const scrolls = e => {
          for (let p = e.parentElement; p; p = p.parentElement)
            if (['auto', 'scroll', 'hidden', 'clip'].includes(getComputedStyle(p).overflowX)) return true
        }
        const wide = [...document.querySelectorAll('body *')].filter(
          e =>
            (e.getBoundingClientRect().right > room + 1 ||
              (e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).overflowX === 'visible')) &&
            !scrolls(e),
        )
        return `${document.documentElement.scrollWidth - room} px too wide: ${wide
          .slice(0, 12)
          .map(e => `${e.tagName.toLowerCase()}.${e.className}`)
          .join(', ')}`
      })
      const cut = await page.evaluate(() => {
        const lines = e => Math.round(e.getBoundingClientRect().height / parseFloat(getComputedStyle(e).lineHeight))
        const over = [...document.querySelectorAll('.panel *, .sidebar *')]
          .filter(
            e => e.getBoundingClientRect().right > e.closest('.panel, .sidebar').getBoundingClientRect().right + 1,
          )
          .filter(e => {
            for (let p = e.parentElement; !p.matches('.panel, .sidebar'); p = p.parentElement)
              if (getComputedStyle(p).overflowX !== 'visible') return false
            return true
          })
        const broken = [...document.querySelectorAll('.crumb:first-child, .trig > span')].filter(
          e => e.textContent.trim().length < 40 && lines(e) > 2,
        )
        return [...over, ...broken]
          .slice(0, 12)
          .map(e => `${e.tagName.toLowerCase()}.${e.className} “${e.textContent.trim().slice(0, 20)}”`)
          .join(', ')
      })
      if (cut) wrong.push(`${path} at ${width} px cuts off or breaks up ${cut}`)
      if (found) wrong.push(`${path} at ${width} px is ${found}`)
    }
  }
  assert.equal(wrong.join('\n'), '')
})
