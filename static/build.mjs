// Writes the assets that come from packages: htmx, two fonts, the icon sprite and their licences.
// Run it as `node static/build.mjs` after `npm ci`; what it writes is committed, so building Carillon needs no Node.
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs'

const icons = `
  activity archive arrow-down arrow-left arrow-right arrow-up ban bell bot calendar calendar-clock check check-check
  chevron-down chevron-right chevrons-up-down circle-alert circle-check circle-dashed circle-help circle-minus
  circle-pause circle-play circle-stop circle-x clipboard-list clock copy ellipsis external-link eye file-diff file-text
  filter folder-git-2 git-branch git-merge git-pull-request git-pull-request-closed grip-vertical hand history hourglass
  house inbox infinity info key-round link list loader lock log-out mail menu message-square message-square-code minus
  monitor moon octagon-x pause pencil play plus
  refresh-cw repeat rotate-ccw search send settings shield square star sun tag terminal ticket trash-2 triangle-alert
  undo-2 unlink unplug user user-plus users webhook workflow wrench x zap
`.trim().split(/\s+/)

const packages = [
  ['htmx.org', 'htmx', 'htmx.js'],
  ['lucide-static', 'Lucide', 'icons.svg, chevron.svg'],
  ['@fontsource-variable/inter', 'Inter', 'inter.woff2'],
  ['@fontsource-variable/geist-mono', 'Geist Mono', 'mono.woff2'],
]

const here = new URL('.', import.meta.url)
const modules = new URL('../node_modules/', here)

copyFileSync(new URL('htmx.org/dist/htmx.min.js', modules), new URL('htmx.js', here))
copyFileSync(
  new URL('@fontsource-variable/inter/files/inter-latin-wght-normal.woff2', modules),
  new URL('inter.woff2', here),
)
copyFileSync(
  new URL('@fontsource-variable/geist-mono/files/geist-mono-latin-wght-normal.woff2', modules),
  new URL('mono.woff2', here),
)

const symbols = icons.map(name => {
  const svg = readFileSync(new URL(`lucide-static/icons/${name}.svg`, modules), 'utf8')
  const body = svg.replace(/^[\s\S]*?<svg[^>]*>/, '').replace('</svg>', '').trim().replace(/\s*\n\s*/g, '')
  return `<symbol id="${name}" viewBox="0 0 24 24">${body}</symbol>`
})
writeFileSync(new URL('icons.svg', here), `<svg xmlns="http://www.w3.org/2000/svg">\n${symbols.join('\n')}\n</svg>\n`)

const licences = packages.map(([folder, name, files]) => {
  const { version, license } = JSON.parse(readFileSync(new URL(`${folder}/package.json`, modules), 'utf8'))
  const text = readFileSync(new URL(`${folder}/LICENSE`, modules), 'utf8').trim()
  return `${name} ${version} (${license}): ${files}\n${'='.repeat(72)}\n${text}\n`
})
writeFileSync(new URL('LICENSES.txt', here),
  `Carillon serves these works of others to the browser, under their own licences.\n\n${licences.join('\n\n')}`)
