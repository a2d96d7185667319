package agent

import (
	"context"
	"io"
	"strings"

	"github.com/sandkeep/sandkeep/internal/sandboxd/failure"
)

// command gives the prompt on standard input and reads standard output until the program ends.
func (r *running) command(ctx context.Context) *failure.Failure {
	go func() {
		_, _ = io.Copy(r.stdin, strings.NewReader(r.job.Prompt)) // a program may well not read it
		_ = r.stdin.Close()
	}()
	read := make(chan struct{})
	go func() {
		defer close(read)
		r.readOutput()
	}()
	fault := r.await(ctx, nil)
	r.end(context.WithoutCancel(ctx), read)
	if fault != nil {
		return fault
	}
	return r.verdict()
}

// await waits for the program's end, or done; it brings the end about when ctx ends or nothing is heard for too long.
func (r *running) await(ctx context.Context, done <-chan struct{}) *failure.Failure {
	select {
	case <-r.proc.Done():
		return nil
	case <-done:
		return nil
	case <-ctx.Done():
		r.proc.Stop(context.WithoutCancel(ctx), r.job.Patience)
		return stopped()
	case <-r.silence.tooLong():
		r.proc.Stop(ctx, r.job.Patience)
		return r.tooSilent()
	}
}

func (r *running) readOutput() {
	if p := parsers[r.job.Agent.Output]; p != nil {
		_ = eachLine(r.output(), maxLine, func(l line) { r.record.apply(understand(p, l)...) })
		return
	}
	buffer := make([]byte, 16<<10)
	out := r.output()
	for {
		n, err := out.Read(buffer)
		if n > 0 {
			r.record.apply(event{kind: said, text: string(buffer[:n])})
		}
		if err != nil {
			return
		}
	}
}
