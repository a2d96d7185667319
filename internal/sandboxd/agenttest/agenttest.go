// Package agenttest is an agent for tests. Its prompt is its script, one step a line, so that a test says what the agent
// does in the place where it says what it expects. It runs as a process of the test's own binary:
//
//	func TestMain(m *testing.M) { agenttest.Main(); os.Exit(m.Run()) }
//
// and the command is Command("acp") or Command("text").
package agenttest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// marker is the first argument of a test binary that is to be an agent.
const marker = "be-an-agent"

// Command starts this agent: "acp" over the Agent Client Protocol, "text" with the prompt on standard input, or a hostile
// one of agents, some of which take arguments.
func Command(kind string, args ...string) []string {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return append([]string{self, marker, kind}, args...)
}

// Main runs the agent and exits, if the process was started by Command; else it returns.
func Main() {
	if len(os.Args) < 3 || os.Args[1] != marker {
		return
	}
	run, ok := agents()[os.Args[2]]
	if !ok {
		fail("no agent " + os.Args[2])
	}
	os.Exit(run())
}

func agents() map[string]func() int {
	return map[string]func() int{
		"text":   textAgent,
		"acp":    acpAgent,
		"replay": replay,
		"recite": recite,
		// mute never answers anything.
		"mute": func() int { forever(); return 0 },
		// deaf ends at once, without reading its input.
		"deaf": func() int { return 0 },
		// closed closes its output and stays.
		"closed": func() int { _ = os.Stdout.Close(); forever(); return 0 },
		// huge answers the first request with a line that is longer than anyone should read.
		"huge": func() int {
			fmt.Println(`{"jsonrpc":"2.0","id":1,"result":{"x":"` + strings.Repeat("x", 12<<20) + `"}}`)
			forever()
			return 0
		},
	}
}

// forever waits for the end.
func forever() {
	for {
		_ = syscall.Pause()
	}
}

func fail(text string) {
	fmt.Fprintln(os.Stderr, text)
	os.Exit(70)
}

// textAgent reads its script from standard input and talks as people do.
func textAgent() int {
	prompt, _ := io.ReadAll(os.Stdin)
	return play(string(prompt), plain{})
}

// plain is the voice of an agent without a protocol.
type plain struct{}

func (plain) say(text string)            { fmt.Println(text) }
func (plain) chunk(text string)          { fmt.Print(text) }
func (plain) tool(title string)          { fmt.Println("tool:", title) }
func (plain) extra(string, string) error { return nil }

// voice is how an agent makes itself heard.
type voice interface {
	say(text string)
	chunk(text string)
	tool(title string)
	// extra is a step that only one protocol has.
	extra(verb, rest string) error
}

// stopped is an exit code in the middle of a script.
type stopped int

// play does the script's steps.
func play(script string, v voice) (code int) {
	defer func() {
		if s, ok := recover().(stopped); ok {
			code = int(s)
		}
	}()
	for line := range strings.Lines(script) {
		verb, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if verb == "" {
			continue
		}
		if verb == "echo" {
			v.say(script)
		} else if step, ok := steps[verb]; ok {
			step(rest, v)
		} else if err := v.extra(verb, rest); err != nil {
			fail(err.Error())
		}
	}
	return 0
}

var steps = map[string]func(rest string, v voice){
	"say":   func(rest string, v voice) { v.say(unescape(rest)) },
	"chunk": func(rest string, v voice) { v.chunk(unescape(rest)) },
	"tool":  func(rest string, v voice) { v.tool(rest) },
	"burst": func(rest string, v voice) {
		for i := range number(rest) {
			v.chunk(fmt.Sprintf("%d\n", i))
		}
	},
	"long":   func(rest string, v voice) { v.chunk(strings.Repeat("x", number(rest)) + "\n") },
	"sayenv": func(rest string, v voice) { v.say(rest + "=" + os.Getenv(rest)) },
	"sayfile": func(rest string, v voice) {
		data, err := os.ReadFile(os.ExpandEnv(rest))
		v.say(fmt.Sprint(string(data), err))
	},
	// ask posts to an address, in which variables are replaced, with the key that the agent was told, and says what came back.
	"ask":     func(rest string, v voice) { v.say(ask(os.ExpandEnv(rest))) },
	"quietly": func(rest string, _ voice) { ask(os.ExpandEnv(rest)) },
	"raw":     func(rest string, _ voice) { fmt.Println(rest) },
	"stderr":  func(rest string, _ voice) { fmt.Fprintln(os.Stderr, unescape(rest)) },
	"write":   func(rest string, _ voice) { path, text, _ := strings.Cut(rest, " "); write(path, unescape(text)+"\n") },
	"sh":      func(rest string, _ voice) { shell(rest) },
	"exit":    func(rest string, _ voice) { panic(stopped(number(rest))) },
	"die":     func(string, voice) { _ = syscall.Kill(os.Getpid(), syscall.SIGKILL); forever() },
	"hang":    func(string, voice) { forever() },
	"stubborn": func(string, voice) {
		signal.Ignore(syscall.SIGTERM, syscall.SIGINT)
	},
	// daemon leaves a process behind that has a session of its own, holds the agent's streams and ignores SIGTERM.
	"daemon": func(rest string, _ voice) {
		cmd := exec.CommandContext(context.Background(), "/bin/sh", "-c", "trap '' TERM HUP; echo $$ >"+rest+".new && mv "+rest+".new "+rest+"; while :; do sleep 1000; done")
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		must(cmd.Start())
		for {
			if _, err := os.Stat(rest); err == nil {
				return
			}
		}
	},
}

func must(err error) {
	if err != nil {
		fail(err.Error())
	}
}

func number(text string) int {
	n, err := strconv.Atoi(text)
	must(err)
	return n
}

func unescape(text string) string {
	if unquoted, err := strconv.Unquote(`"` + text + `"`); err == nil {
		return unquoted
	}
	return text
}

func write(path, text string) {
	must(os.MkdirAll(filepath.Dir(path), 0o755))
	must(os.WriteFile(path, []byte(text), 0o644))
}

// shell runs a command and shows its output on standard error only.
func shell(command string) {
	cmd := exec.CommandContext(context.Background(), "/bin/sh", "-ec", command)
	out, err := cmd.CombinedOutput()
	lines := bufio.NewScanner(strings.NewReader(string(out)))
	for lines.Scan() {
		fmt.Fprintln(os.Stderr, lines.Text())
	}
	must(err)
}

// ask is a request to a provider, as a client library makes it.
func ask(address string) string {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, address, strings.NewReader("{}"))
	must(err)
	r.Header.Set("Authorization", "Bearer "+os.Getenv("API_KEY"))
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	must(err)
	return fmt.Sprintf("%d %s", answer.StatusCode, text)
}

// replay plays the agent's part of a recorded conversation: lines of {"from": "client"|"agent", "message": ...}. For each
// message of the client it waits for one line, whatever that says. It ends with its input, or at once with the exit code
// that follows the file's name.
func replay() int {
	recording, err := os.Open(os.Args[3])
	must(err)
	in := bufio.NewReaderSize(os.Stdin, 1<<20)
	lines := bufio.NewScanner(recording)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var l struct {
			From    string
			Message json.RawMessage
		}
		must(json.Unmarshal(lines.Bytes(), &l))
		if l.From == "agent" {
			var compact bytes.Buffer
			must(json.Compact(&compact, l.Message))
			fmt.Println(compact.String())
		} else if _, err := in.ReadBytes('\n'); err != nil {
			return 0
		}
	}
	if len(os.Args) > 4 {
		return number(os.Args[4])
	}
	_, _ = io.Copy(io.Discard, in)
	return 0
}

// recite prints a file on standard output and ends with the exit code that follows its name; a third argument is a file for
// standard error.
func recite() int {
	data, err := os.ReadFile(os.Args[3])
	must(err)
	_, err = os.Stdout.Write(data)
	must(err)
	if len(os.Args) > 5 {
		data, err = os.ReadFile(os.Args[5])
		must(err)
		_, err = os.Stderr.Write(data)
		must(err)
	}
	return number(os.Args[4])
}
