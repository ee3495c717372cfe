package agent

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
)

const (
	maxLine   = 4 << 20  // longer lines of an agent are skipped
	maxStderr = 16 << 10 // kept for the reason of a failure
	maxAnswer = 1 << 20
)

// eachLine takes a stream to its end, line by line, without the line's end. A line is valid until the
// next. Of a line over the limit only the length is told.
func eachLine(from io.Reader, limit int, line func([]byte), long func(n int)) {
	in := bufio.NewReaderSize(from, 64<<10)
	var buf []byte
	n := 0
	for {
		part, err := in.ReadSlice('\n')
		n += len(part)
		if n <= limit {
			buf = append(buf, part...)
		}
		if err == bufio.ErrBufferFull {
			continue
		}
		switch {
		case n > limit:
			long(n)
		case len(bytes.TrimSpace(buf)) > 0:
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

func (r *run) skipped(n int) {
	r.warn("A line of %d bytes from the agent was skipped.", n)
}

// stream runs a program that reads a prompt and answers with JSON lines. onLine may call its second
// argument to end the program. The text is the end of its standard error.
func (r *run) stream(ctx context.Context, argv, env []string, prompt string, onLine func(line []byte, stop func())) (ending, string, error) {
	path, err := r.write("prompt", []byte(prompt))
	if err != nil {
		return ending{}, "", err
	}
	stdin, err := os.Open(path)
	if err != nil {
		return ending{}, "", err
	}
	defer stdin.Close()
	p, err := start(command{argv: argv, dir: r.Dir, env: env, stdin: stdin, grace: r.grace, sandbox: r.sandbox()})
	if err != nil {
		return ending{}, "", r.startFailure(err)
	}
	defer context.AfterFunc(ctx, p.stop)()
	errs := &tail{limit: maxStderr}
	end := r.finish(p, func() {
		eachLine(p.stdout, maxLine, func(line []byte) {
			r.touch()
			if line[0] != '{' {
				r.emit(Event{Kind: EventLog, Text: string(line)})
				return
			}
			onLine(line, p.stop)
		}, r.skipped)
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
