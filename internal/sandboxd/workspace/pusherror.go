package workspace

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// pushProblem is a failed push in the server's words, or git's where the server said none.
func pushProblem(out string, err error) error {
	var failed *gitError
	if !errors.As(err, &failed) {
		return err
	}
	words := serverWords(failed.stderr)
	if refusal := refusalIn(out); refusal != "" {
		if words != "" {
			refusal += ": " + words
		}
		return fmt.Errorf("the server refused the push, %s%s", refusal, advice(refusal))
	}
	switch {
	case errors.Is(err, context.Canceled):
		return errors.New("the push was stopped")
	case failed.timedOut > 0:
		return fmt.Errorf("the push was not done within %s", failed.timedOut)
	case strings.Contains(failed.stderr, "could not read Username"), strings.Contains(failed.stderr, "returned error: 401"),
		strings.Contains(failed.stderr, "Authentication failed"), strings.Contains(failed.stderr, "returned error: 403"):
		return errors.New("the server wants a login for a push, and Sandkeep has no credentials for git yet; name a repository that takes pushes without one")
	case words != "":
		return fmt.Errorf("the push failed: %s", words)
	default:
		return fmt.Errorf("the push failed: %w", failed)
	}
}

// refusalPattern is a line of `git push --porcelain`: "!\t<from>:<to>\t[rejected] (fetch first)".
var refusalPattern = regexp.MustCompile(`(?m)^!\t[^\t]*\t\[(?:remote )?rejected\] \((.*)\)$`)

func refusalIn(out string) string {
	m := refusalPattern.FindStringSubmatch(out)
	if m == nil {
		return ""
	}
	return m[1]
}

// serverWords are the lines that the server sent for the user to read.
func serverWords(stderr string) string {
	var words []string
	for text := range strings.Lines(stderr) {
		if said, ok := strings.CutPrefix(strings.TrimSpace(text), "remote:"); ok && strings.TrimSpace(said) != "" {
			words = append(words, strings.TrimSpace(said))
		}
	}
	const most = 10
	return strings.Join(words[:min(len(words), most)], " ")
}

func advice(refusal string) string {
	if strings.Contains(refusal, "fetch first") || strings.Contains(refusal, "non-fast-forward") {
		return "; the branch has commits that the session did not start from, choose another pushBranch or delete it"
	}
	return ""
}
