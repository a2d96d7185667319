package agent

import "strings"

// echo finds out whether an agent said anything beyond the prompt that it was given: a program that repeats its input has
// done no work. White space does not count.
type echo struct {
	prompt string
	heard  strings.Builder
	limit  int
}

// newEcho remembers twice the prompt's length: an agent that says more than that has said something else.
func newEcho(prompt string) echo {
	prompt = squeezed(prompt)
	return echo{prompt: prompt, limit: 2*len(prompt) + 64}
}

func (e *echo) add(text string) {
	if e.heard.Len() > e.limit {
		return
	}
	text = squeezed(text)
	e.heard.WriteString(text[:min(len(text), e.limit+1-e.heard.Len())])
}

// more reports that something beyond the prompt was said.
func (e *echo) more() bool {
	heard := e.heard.String()
	if e.prompt == "" || len(heard) > e.limit {
		return heard != ""
	}
	return strings.ReplaceAll(heard, e.prompt, "") != ""
}

// squeezed is text without white space.
func squeezed(text string) string { return strings.Join(strings.Fields(text), "") }
