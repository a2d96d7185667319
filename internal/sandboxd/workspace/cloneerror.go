package workspace

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"syscall"
)

// CloneError says in words for the user why there is no clone, and what to do.
type CloneError struct {
	url, ref string
	err      error
}

// Error names the repository without anything secret, the cause and the next step.
func (e *CloneError) Error() string {
	where := PublicURL(e.url)
	var failed *gitError
	switch {
	case errors.Is(e.err, errNoRef):
		return fmt.Sprintf("%s has no branch, tag or commit %q; correct the ref", where, e.ref)
	case errors.Is(e.err, context.Canceled):
		return fmt.Sprintf("The clone of %s was stopped", where)
	case errors.Is(e.err, syscall.ENOSPC):
		return fmt.Sprintf("%s does not fit into the workspace; ask for a larger spec.workspace.size", where)
	case errors.As(e.err, &failed):
		return failed.explain(where)
	default:
		return fmt.Sprintf("%s cannot be cloned: %v", where, e.err)
	}
}

func (e *CloneError) Unwrap() error { return e.err }

// PublicURL is an address without login, query and fragment.
func PublicURL(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "the repository"
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// gitProblems are what git says, in its C locale, and what that means. The first that is found applies.
var gitProblems = []struct{ said, means string }{
	{"could not read Username", "%s needs a login, or does not exist: git servers answer both alike; check the URL, and that it can be read without a login"},
	{"Authentication failed", "%s refuses the login; check the URL, and that it can be read without a login"},
	{"returned error: 401", "%s needs a login; check the URL, and that it can be read without a login"},
	{"returned error: 403", "%s may not be read from here (status 403); check the URL, and that it can be read without a login"},
	{"returned error: 404", "%s does not exist; check the URL"},
	{"' not found", "%s does not exist; check the URL"},
	{"not valid: is this a git repository?", "%s is not a git repository; check the URL"},
	{"Could not resolve host", "%s cannot be found: its host name does not resolve; check the URL, and that pods of this namespace reach the host"},
	{"Could not resolve proxy", "%s cannot be reached: the proxy's host name does not resolve; check the proxy that the class's env names"},
	{"SSL certificate problem", "%s shows a certificate that is not trusted in the image; add the authority's certificate to the image"},
	{"server certificate verification failed", "%s shows a certificate that is not trusted in the image; add the authority's certificate to the image"},
	{"No space left on device", "%s does not fit into the workspace; ask for a larger spec.workspace.size"},
	{"Disk quota exceeded", "%s does not fit into the workspace; ask for a larger spec.workspace.size"},
	{"Failed to connect", "%s cannot be reached; check the URL, and that pods of this namespace reach the host"},
	{"Connection refused", "%s cannot be reached; check the URL, and that pods of this namespace reach the host"},
	{"Connection timed out", "%s cannot be reached; check the URL, and that pods of this namespace reach the host"},
	{"early EOF", "%s broke off in the middle of the clone; it is tried again"},
	{"unexpected disconnect", "%s broke off in the middle of the clone; it is tried again"},
	{"RPC failed", "%s broke off in the middle of the clone; it is tried again"},
	{"Empty reply from server", "%s closed the connection without an answer; it is tried again"},
	{"returned error: 5", "%s has a problem of its own; it is tried again"},
	{"transport '", "%s leads to a protocol that is not allowed; only http and https are"},
}

func (e *gitError) explain(where string) string {
	switch {
	case e.missing:
		return "The image has no git; use an image that has it in its PATH"
	case e.timedOut > 0:
		return fmt.Sprintf("The clone of %s was not done within %s; check that the host answers", where, e.timedOut)
	}
	for _, problem := range gitProblems {
		if strings.Contains(e.stderr, problem.said) {
			return fmt.Sprintf(problem.means, where)
		}
	}
	return fmt.Sprintf("%s cannot be cloned: %s", where, e.Error())
}
