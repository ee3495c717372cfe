package views

import (
	"math"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// colour is linear sRGB.
type colour [3]float64

// oklch follows the CSS Color 4 matrices; what lies outside sRGB is clipped, as browsers do.
func oklch(l, c, h float64) colour {
	a, b := c*math.Cos(h*math.Pi/180), c*math.Sin(h*math.Pi/180)
	cube := func(x float64) float64 { return x * x * x }
	L, M, S := cube(l+0.3963377774*a+0.2158037573*b), cube(l-0.1055613458*a-0.0638541728*b),
		cube(l-0.0894841775*a-1.2914855480*b)
	clip := func(x float64) float64 { return min(1, max(0, x)) }
	return colour{
		clip(4.0767416621*L - 3.3077115913*M + 0.2309699292*S),
		clip(-1.2684380046*L + 2.6097574011*M - 0.3413193965*S),
		clip(-0.0041960863*L - 0.7034186147*M + 1.7076147010*S),
	}
}

func (c colour) luminance() float64 { return 0.2126*c[0] + 0.7152*c[1] + 0.0722*c[2] }

func contrast(a, b colour) float64 {
	x, y := a.luminance(), b.luminance()
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

// tokens reads the light and the dark value of each colour from the stylesheet.
func tokens(t *testing.T) map[string][2]colour {
	t.Helper()
	css, err := os.ReadFile("../static/app.css")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][2]colour{}
	pair := regexp.MustCompile(`--([a-z0-9-]+): light-dark\(oklch\(([^()/]+)\), oklch\(([^()/]+)\)\);`)
	for _, m := range pair.FindAllStringSubmatch(string(css), -1) {
		var two [2]colour
		for i, text := range m[2:4] {
			var n [3]float64
			for j, f := range strings.Fields(text) {
				if n[j], err = strconv.ParseFloat(f, 64); err != nil {
					t.Fatal(err)
				}
			}
			two[i] = oklch(n[0], n[1], n[2])
		}
		all[m[1]] = two
	}
	return all
}

func TestColoursCanBeReadInBothThemes(t *testing.T) {
	t.Parallel()
	const text, graphic = 4.5, 3.0
	type rule struct {
		ink, ground string
		least       float64
	}
	rules := []rule{
		{"ink", "paper", text}, {"ink-2", "sunken", text}, {"ink-2", "track", text}, {"ink-3", "surface", text},
		{"ink-3", "paper", text},
		{"ink-3", "sunken", text}, {"ink-3", "raised", text}, {"ink-3", "accent-soft", text},
		{"accent-ink", "accent", text}, {"accent", "surface", text},
		{"accent", "accent-soft", text}, {"accent", "sunken", text}, {"line-control", "surface", graphic},
		{"term-magenta", "sunken", text}, {"term-magenta", "surface", text},
	}
	for _, s := range []string{"ok", "fail", "warn", "run"} {
		rules = append(rules, rule{s + "-text", "surface", text}, rule{s + "-text", "paper", text},
			rule{s + "-text", "sunken", text},
			rule{s + "-text", "raised", text}, rule{s + "-text", s + "-soft", text},
			rule{s + "-mark", "surface", graphic})
	}
	all := tokens(t)
	for _, r := range rules {
		ink, ok := all[r.ink]
		ground, ok2 := all[r.ground]
		if !ok || !ok2 {
			t.Errorf("app.css has no %s or no %s", r.ink, r.ground)
			continue
		}
		for i, theme := range []string{"light", "dark"} {
			if got := contrast(ink[i], ground[i]); got < r.least {
				t.Errorf("%s on %s, %s: %.2f; want at least %.1f", r.ink, r.ground, theme, got, r.least)
			}
		}
	}
}

func TestContrastAgreesWithKnownValues(t *testing.T) {
	t.Parallel()
	if got := contrast(oklch(1, 0, 0), oklch(0, 0, 0)); math.Abs(got-21) > 0.01 {
		t.Errorf("white on black is %.2f; want 21", got)
	}
}
