package program

import (
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/sandkeep/sandkeep/hack/install"
)

// CleanUpTime bounds what is done at the end, also after an interrupt.
const CleanUpTime = 5 * time.Minute

// Step is one piece of work.
type Step struct {
	Title string
	Work  func(ctx context.Context, detail io.Writer) error
}

// Course is what a benchmark does, and what it undoes at its end.
type Course struct {
	Progress *install.Progress
	atEnd    []Step
}

// Alone does a benchmark in this checkout with no other beside it, and undoes at the end what it did.
func Alone(ctx context.Context, out io.Writer, do func(context.Context, install.Source, Workshop, *Course) error) (err error) {
	source, err := install.SourceHere()
	if err != nil {
		return err
	}
	ctx, abort := context.WithCancelCause(ctx)
	defer abort(nil)
	w := Workshop{Checkout: source.Root, Abort: abort}
	unlock, err := w.Lock()
	if err != nil {
		return err
	}
	defer unlock()
	c := &Course{Progress: &install.Progress{Out: out}}
	defer func() { err = errors.Join(err, c.CleanUp(ctx)) }()
	return do(ctx, source, w, c)
}

// Perform does the steps of a benchmark.
func (c *Course) Perform(ctx context.Context, steps []Step) error {
	for _, s := range steps {
		if err := c.Progress.Step(s.Title, func(detail io.Writer) error { return s.Work(ctx, detail) }); err != nil {
			return reason(ctx, err)
		}
	}
	return nil
}

// reason is why a piece of work failed: where it was cut short, the cause of that says more than its own error.
func reason(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	return err
}

// Undo remembers a piece of work for the end.
func (c *Course) Undo(title string, work func(ctx context.Context, detail io.Writer) error) {
	c.atEnd = append(c.atEnd, Step{title, work})
}

// ToUndo is how many pieces of work there are for the end.
func (c *Course) ToUndo() int { return len(c.atEnd) }

// CleanUp undoes what was done, the last first. An interrupt does not end it, but a second one does.
func (c *Course) CleanUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), CleanUpTime)
	defer cancel()
	var errs []error
	for _, s := range slices.Backward(c.atEnd) {
		errs = append(errs, c.Progress.Step(s.Title, func(detail io.Writer) error { return s.Work(ctx, detail) }))
	}
	return errors.Join(errs...)
}
