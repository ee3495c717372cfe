package web

import (
	"fmt"
	"strconv"

	"carillon/app/transcript"
)

// usedText is what a turn used, in words. Unknown is said, never shown as nothing.
func usedText(u *transcript.Usage) string {
	if u == nil {
		return ""
	}
	told := u.Input+u.CacheRead+u.CacheWrite+u.Output > 0 || u.CostUSD > 0 // of which more may have been used
	if !u.Known && !u.CostKnown && !told {
		return "usage unknown"
	}
	text := ""
	if u.Known || told {
		text = tokenText(!u.Known, u.Input+u.CacheRead+u.CacheWrite, u.CacheRead, u.Output)
	}
	if u.CostKnown || u.CostUSD > 0 {
		if text != "" {
			text += ", "
		}
		text += money(u.CostUSD)
	}
	return text
}

// tokenText counts tokens the one way that all pages do: all that went in, those of them that came from a cache, what
// came out.
func tokenText(some bool, all, cached, out int64) string {
	text := atLeast(some) + tokens(all) + " tokens in"
	if cached > 0 {
		text += " (" + tokens(cached) + " cached)"
	}
	return text + ", " + tokens(out) + " out"
}

// tokens is a count with its thousands apart.
func tokens(n int64) string {
	digits := strconv.FormatInt(n, 10)
	text := ""
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			text += ","
		}
		text += string(d)
	}
	return text
}

func money(usd float64) string {
	if usd > 0 && usd < 0.01 {
		return fmt.Sprintf("$%.4f", usd)
	}
	return fmt.Sprintf("$%.2f", usd)
}
