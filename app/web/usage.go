package web

import (
	"fmt"
	"strconv"

	"carillon/app/agent"
)

// usedText is what a turn used, in words. Unknown is said, never shown as nothing.
func usedText(u *agent.Usage) string {
	if u == nil {
		return ""
	}
	told := u.Input+u.CacheRead+u.CacheWrite+u.Output > 0 || u.CostUSD > 0 // of which more may have been used
	if !u.Known && !u.CostKnown && !told {
		return "usage unknown"
	}
	text := ""
	if u.Known || told {
		text = atLeast(!u.Known) + tokens(u.Input+u.CacheRead+u.CacheWrite) + " tokens in"
		if u.CacheRead > 0 {
			text += " (" + tokens(u.CacheRead) + " cached)"
		}
		text += ", " + tokens(u.Output) + " out"
	}
	if u.CostKnown || u.CostUSD > 0 {
		if text != "" {
			text += ", "
		}
		text += money(u.CostUSD)
	}
	return text
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
