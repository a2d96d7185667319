package agent

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/sandkeep/sandkeep/internal/contract"
	"github.com/sandkeep/sandkeep/internal/sandboxd/failure"
	"github.com/sandkeep/sandkeep/internal/sandboxd/process"
)

// running is an agent's process with its three streams.
//
// The streams are pipes of our own and not those of os/exec: a daemon that an agent leaves behind keeps them open, and
// os/exec would wait for it. They are closed from this side when the agent itself has ended.
type running struct {
	job      *Job
	record   *record
	proc     *process.Process
	stdin    *os.File
	stdout   *os.File
	stderr   *os.File
	silence  *silence
	oomAtGo  int64
	errMu    sync.Mutex
	errTail  *tail
	errEnded chan struct{}
}

// drainTime is how long the streams are read on after the agent's end. What it wrote is in the pipes by then; only a
// process that outlived it can hold them open longer.
const drainTime = 2 * time.Second

// maxStderr is how much of the end of standard error a failure may tell.
const maxStderr = 2 << 10

func (j *Job) start(rec *record) (*running, *failure.Failure) {
	cmd, fault := j.prepare()
	if fault != nil {
		return nil, fault
	}
	ours, theirs, err := pipes()
	if err != nil {
		return nil, failure.New(contract.AgentCrashed, "The agent could not be started: %v", err)
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = theirs[0], theirs[1], theirs[2]
	r := &running{
		job: j, record: rec, stdin: ours[0], stdout: ours[1], stderr: ours[2],
		errTail: newTail(maxStderr, j.Redactor), errEnded: make(chan struct{}), oomAtGo: j.oomKills(),
	}
	r.proc, err = j.Tree.Start(cmd)
	closeAll(theirs)
	if err != nil {
		closeAll(ours)
		return nil, notStarted(cmd.Path, err)
	}
	r.silence = newSilence(j.Silence)
	go r.readStderr()
	if j.Started != nil {
		j.Started()
	}
	return r, nil
}

func (j *Job) prepare() (*exec.Cmd, *failure.Failure) {
	words := append(append([]string{}, j.Agent.Command...), expandArgs(j.Agent.Args, j.words())...)
	if len(words) == 0 {
		return nil, failure.New(contract.AgentCrashed, "The class names no program to run; set agent.command of the SessionClass")
	}
	path, err := process.LookPath(words[0], j.Dir, pathOf(j.Env))
	if err != nil {
		return nil, notStarted(words[0], err)
	}
	return &exec.Cmd{Path: path, Args: words, Dir: j.Dir, Env: j.Env}, nil
}

func (j *Job) words() map[string]string {
	return map[string]string{"$(MODEL)": j.Model, "$(WORKSPACE)": j.Workspace, "$(HOME)": j.Home}
}

func (j *Job) oomKills() int64 {
	if j.OOMKills == nil {
		return 0
	}
	return j.OOMKills()
}

// expandArgs replaces words in args. An argument that is $(MODEL) and nothing else goes away when there is no model, and
// the option before it with it.
func expandArgs(args []string, words map[string]string) []string {
	var out []string
	for _, arg := range args {
		if arg == "$(MODEL)" && words[arg] == "" {
			if last := len(out) - 1; last >= 0 && strings.HasPrefix(out[last], "-") {
				out = out[:last]
			}
			continue
		}
		for word, value := range words {
			arg = strings.ReplaceAll(arg, word, value)
		}
		out = append(out, arg)
	}
	return out
}

// pathOf is the PATH of an environment.
func pathOf(env []string) string {
	path := ""
	for _, variable := range env {
		if value, found := strings.CutPrefix(variable, "PATH="); found {
			path = value
		}
	}
	return path
}

// notStarted says why there is no agent at all, and what to do.
func notStarted(program string, err error) *failure.Failure {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return failure.New(contract.AgentCrashed, "The image has no program %q; use an image that has it, or correct agent.command of the SessionClass", program)
	case errors.Is(err, fs.ErrPermission):
		return failure.New(contract.AgentCrashed, "The program %q is not executable for the sandbox's user; correct its mode in the image", program)
	case errors.Is(err, syscall.ENOEXEC):
		return failure.New(contract.AgentCrashed, "The program %q is not made for this machine; use an image of the node's architecture", program)
	default:
		return failure.New(contract.AgentCrashed, "The program %q could not be started: %v", program, err)
	}
}

// pipes are the streams of a process: ours are the ends that are kept, theirs those that it gets, each as 0, 1 and 2.
func pipes() (ours, theirs [3]*os.File, err error) {
	for i := range 3 {
		read, write, pipeErr := os.Pipe()
		if pipeErr != nil {
			closeAll(ours)
			closeAll(theirs)
			return ours, theirs, pipeErr
		}
		if i == 0 {
			ours[i], theirs[i] = write, read
		} else {
			ours[i], theirs[i] = read, write
		}
	}
	return ours, theirs, nil
}

func closeAll(files [3]*os.File) {
	for _, file := range files {
		if file != nil {
			_ = file.Close()
		}
	}
}

// readStderr shows what the agent writes to standard error and remembers the end of it.
func (r *running) readStderr() {
	defer close(r.errEnded)
	buffer := make([]byte, 16<<10)
	for {
		n, err := r.stderr.Read(buffer)
		if n > 0 {
			r.silence.broken()
			r.job.Transcript.Stderr(string(buffer[:n]))
			r.errMu.Lock()
			r.errTail.add(string(buffer[:n]))
			r.errMu.Unlock()
		}
		if err != nil {
			return
		}
	}
}

// output is the agent's standard output; every byte of it is a sign of life.
func (r *running) output() io.Reader { return signs{r.stdout, r.silence} }

// end ends whatever still runs in the agent's group, and the reading of its streams.
func (r *running) end(ctx context.Context, read <-chan struct{}) {
	r.silence.end()
	_ = r.stdin.Close()
	r.proc.Signal(syscall.SIGKILL)
	<-r.proc.Done()
	bounded, cancel := context.WithTimeout(ctx, r.job.Patience+drainTime)
	defer cancel()
	if r.job.Tree.KillRest(bounded) != nil {
		r.job.Transcript.Note("Some processes of the agent could not be ended")
	}
	drained := time.NewTimer(drainTime)
	defer drained.Stop()
	for _, stream := range []<-chan struct{}{read, r.errEnded} {
		select {
		case <-stream:
		case <-drained.C:
			drained.Reset(0)
		}
	}
	_ = r.stdout.Close()
	_ = r.stderr.Close()
	<-read
	<-r.errEnded
}
