package shell

import (
	"errors"
	"fmt"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// Bounds of the work on a script. The parser recurses for each bracket, block and sign of arithmetic. A stack overflow
// of a goroutine ends the process and cannot be recovered.
const (
	// MaxScript bounds a script, in bytes: a prompt of 256 KiB, and the lines that assign the values of a workflow.
	MaxScript = 320 << 10
	// maxOpen bounds the open brackets, and the signs before one operand.
	maxOpen = 500
	// maxBlocks bounds the open blocks, counted by their keywords. Prose in a script has lines that begin with such a
	// word.
	maxBlocks = 5000
	// maxOpenings bounds all opening brackets, because a closing bracket between quotes makes an open one look closed.
	maxOpenings = 20_000
	// maxEffort bounds the steps of the search for values that would be read as code.
	maxEffort = 5_000_000
	// maxProblems bounds the reported problems of a script.
	maxProblems = 100
)

const (
	tooDeep  = "brackets and blocks are nested too deeply: at most 500 brackets may be open at a time"
	tooMany  = "there are too many brackets, blocks and placeholders: at most 20,000 fit"
	tooMuch  = "the script is too long-winded to be looked through: give its values to fewer and shorter commands"
	tooLarge = "the script has %d KiB: at most 320 fit"
)

// blocks are the words that begin a block, and those that end one.
var blocks = map[string]int{"if": 1, "while": 1, "until": 1, "for": 1, "case": 1, "select": 1, "function": 0, "time": 0,
	"coproc": 0,
	"fi":     -1, "done": -1, "esac": -1}

// bounded finds code that would make the parser recurse too deeply, in one pass and without regard to quotes. It
// returns the place and the problem; empty: there is none.
func bounded(text string) (at int, problem string) {
	var open, inside, row, all int // brackets, blocks, signs before an operand, and all of them
	command := true                // the next word is the first of a command
	for i := 0; i < len(text); {
		step := 1
		switch c := text[i]; c {
		case '(', '{', '[':
			open++
			all++
			row, command = 0, c != '['
		case ')', '}', ']':
			open = max(open-1, 0)
			row, command = 0, c == ')'
		case '!', '~', '?', '+', '-':
			// Each sign before an operand is a level: !~!~x. Two of + or - are one sign.
			if c != '+' && c != '-' {
				all++
			}
			if c != '?' && (c == '!' || c == '~' || i == 0 || text[i-1] != c) {
				row++
			}
			command = c == '!'
		case ' ', '\t', '\r', '\\':
		case '\n', ';', '&', '|', '`':
			command = true
			if c != '\n' {
				row = 0
			}
			if c == '`' {
				all++
			}
		default:
			for i+step < len(text) && isLetter(text[i]) && isLetter(text[i+step]) {
				step++
			}
			row = 0
			switch word := text[i : i+step]; word {
			case "then", "else", "elif", "do":
				command = true
			default:
				level, isBlock := blocks[word]
				if isBlock && level >= 0 {
					all++
				}
				if command {
					inside = max(inside+level, 0)
				}
				command = command && isBlock && level >= 0
			}
		}
		switch {
		case open > maxOpen || row > maxOpen || inside > maxBlocks:
			return i, tooDeep
		case all > maxOpenings:
			return i, tooMany
		}
		i += step
	}
	return 0, ""
}

func isLetter(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_' || '0' <= c && c <= '9'
}

// errUnbounded says that a script exceeds the bounds.
var errUnbounded = errors.New("past the bounds of a script")

// parse parses a script that is within the bounds. Only parse calls the parser.
func parse(text string, options ...syntax.ParserOption) (*syntax.File, error) {
	if _, problem := bounded(text); problem != "" || len(text) > 4*MaxScript {
		return nil, errUnbounded
	}
	return syntax.NewParser(append(options, syntax.Variant(syntax.LangBash))...).Parse(strings.NewReader(text), "")
}

// outOfBounds records a problem if the script exceeds the bounds.
func (s *script) outOfBounds() bool {
	if len(s.source) > MaxScript {
		s.problem(0, fmt.Sprintf(tooLarge, (len(s.source)+1023)>>10))
		return true
	}
	at, problem := bounded(s.compiled)
	if problem != "" {
		s.problem(s.original(at), problem)
	}
	return problem != ""
}

// effort counts the steps of a search.
type effort struct{ spent int }

// errEffort ends a search from within.
var errEffort = errors.New("too many steps")

// spend counts steps. It panics with errEffort when there are too many; within recovers.
func (e *effort) spend(steps int) {
	if e.spent += steps; e.spent > maxEffort {
		panic(errEffort)
	}
}

// within runs a search, and reports whether it came to its end.
func within(search func()) (ended bool) {
	defer func() {
		if p := recover(); p != nil {
			if p != errEffort {
				panic(p)
			}
			ended = false
		}
	}()
	search()
	return true
}
