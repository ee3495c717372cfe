package agent

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"

	"carillon/app/jsontext"
	"carillon/app/transcript"
)

const (
	// long texts in longer lines of an agent are cut; a line that is then still too long is skipped
	maxLine   = 4 << 20
	maxStderr = 16 << 10 // kept for the reason of a failure
	maxAnswer = 1 << 20
)

// eachLine reads a stream to its end and calls line for each line, without the line's end. A line is valid until the
// next call. In a JSON object over the limit long texts are cut, so that its other fields are known. For a line that is
// still over the limit, long is called with its length.
func eachLine(from io.Reader, limit int, line func([]byte), long func(n int)) {
	in := bufio.NewReaderSize(from, 64<<10)
	var buf []byte
	var short *jsontext.Shortener // of a line over the limit
	n := 0
	for {
		part, err := in.ReadSlice('\n')
		n += len(part)
		switch {
		case n <= limit:
			buf = append(buf, part...)
		case short == nil:
			short = &jsontext.Shortener{Most: min(maxAnswer, limit/4), All: limit}
			_, _ = short.Write(buf)
			fallthrough
		default:
			_, _ = short.Write(part)
		}
		if err == bufio.ErrBufferFull {
			continue
		}
		if short != nil {
			text, ok := short.Bytes()
			if text = bytes.TrimSpace(text); ok && json.Valid(text) && text[0] == '{' {
				line(text)
			} else {
				long(n)
			}
			short = nil
		} else if len(bytes.TrimSpace(buf)) > 0 {
			line(bytes.TrimSpace(buf))
		}
		if cap(buf) > 1<<20 {
			buf = nil
		}
		buf, n = buf[:0], 0
		if err != nil {
			return
		}
	}
}

func (r *run) lineSkipped(n int) {
	r.warn("A line of %d bytes from the agent was skipped.", n)
}

// stream runs a program that reads a prompt and answers with JSON lines. onLine may call its second argument to end the
// program. The returned text is the end of the standard error.
func (r *run) stream(ctx context.Context, argv, env []string, prompt string,
	onLine func(line []byte, stop func())) (ending, string, error) {
	path, err := r.write("prompt", []byte(prompt))
	if err != nil {
		return ending{}, "", err
	}
	stdin, err := os.Open(path)
	if err != nil {
		return ending{}, "", err
	}
	defer stdin.Close()
	p, err := start(command{
		argv: argv, dir: r.Dir, env: env, stdin: stdin, grace: r.grace, user: r.User, sandbox: r.sandbox,
		bounds: r.bounds(), hold: r.RunDir,
	})
	if err != nil {
		return ending{}, "", r.startFailure(err)
	}
	defer context.AfterFunc(ctx, p.stop)()
	errs := &tail{limit: maxStderr}
	end := r.finish(p, func() {
		eachLine(p.stdout, maxLine, func(line []byte) {
			r.touch()
			if line[0] != '{' {
				r.emit(transcript.Event{Kind: transcript.KindLog, Text: string(line)})
				return
			}
			onLine(line, p.stop)
		}, r.lineSkipped)
	}, func() { _, _ = io.Copy(errs, p.stderr) })
	if end.Start != "" {
		return end, errs.String(), r.startFailure(errors.New(end.Start))
	}
	return end, errs.String(), nil
}

// Write makes a tail a writer.
func (t *tail) Write(b []byte) (int, error) {
	t.add(b)
	return len(b), nil
}
