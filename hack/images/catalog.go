package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// audience says who may get an image.
type audience int

const (
	forEveryone audience = iota // built by default, pushed by default
	forTests                    // built by default, pushed when named
	forOneself                  // built when named, never pushed: its licence does not let us hand it on
)

// definition describes one image: its layers from the bottom up, and how it runs.
type definition struct {
	name     string
	title    string
	license  string
	audience audience
	recipes  func(context.Context, *builder) ([]recipe, error)
	config   v1.Config
}

// catalog returns every image that can be built.
func catalog() []definition {
	return []definition{
		{
			name:     "sandkeep",
			title:    "Sandkeep: manager, gateway, keeper and sandboxd",
			license:  "Apache-2.0",
			audience: forEveryone,
			recipes:  layersOf(trustRecipe, licensesRecipe, operatorRecipe),
			config:   v1.Config{User: numericUser(operatorID), WorkingDir: "/", Env: []string{"PATH=/"}},
		},
		{
			name:     "opencode",
			title:    "OpenCode on Debian, Sandkeep's default agent",
			license:  "MIT",
			audience: forEveryone,
			recipes:  layersOf(debianRecipe, npmRecipe(openCodeFiles...)),
			config:   agentConfig(openCodeFiles[0].target),
		},
		{
			name:     "fixture",
			title:    "Sandkeep's fake provider and git server",
			license:  "Apache-2.0",
			audience: forTests,
			recipes:  layersOf(debianRecipe, programRecipe("fixture", "./test/fixtures/cmd/fixture", "/usr/local/bin/")),
			config:   entered(agentConfig("/usr/local/bin/fixture")),
		},
		{
			name:     "claude-code",
			title:    "Claude Code on Debian, for tests on this machine",
			license:  "LicenseRef-proprietary",
			audience: forOneself,
			recipes:  layersOf(debianRecipe, npmRecipe(claudeCodeFiles...)),
			config:   agentConfig(claudeCodeFiles[0].target),
		},
	}
}

// agentConfig runs command as the agents' user. It is a default command and no entrypoint, so that `docker run` and a
// class can name another program.
func agentConfig(command string) v1.Config {
	return v1.Config{
		User:       numericUser(agentID),
		WorkingDir: workspacePath,
		Cmd:        []string{command},
		Env: []string{
			"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
			"HOME=" + agentHome,
			"LANG=C.UTF-8",
		},
	}
}

// entered turns the default command into the entrypoint, for a program whose users give it arguments only.
func entered(c v1.Config) v1.Config {
	c.Entrypoint, c.Cmd = c.Cmd, nil
	return c
}

// numericUser names user and group by number: the kubelet cannot prove that a user given by name is not root.
func numericUser(id int) string {
	return strconv.Itoa(id) + ":" + strconv.Itoa(id)
}

// layersOf defers making the recipes until an image is built.
func layersOf(makers ...func(context.Context, *builder) (recipe, error)) func(context.Context, *builder) ([]recipe, error) {
	return func(ctx context.Context, b *builder) ([]recipe, error) {
		recipes := make([]recipe, 0, len(makers))
		for _, makeRecipe := range makers {
			r, err := makeRecipe(ctx, b)
			if err != nil {
				return nil, err
			}
			recipes = append(recipes, r)
		}
		return recipes, nil
	}
}

// choose returns the named definitions, or without names those for which byDefault holds.
func choose(names []string, byDefault func(audience) bool) ([]definition, error) {
	all := catalog()
	if len(names) == 0 {
		return slices.DeleteFunc(all, func(d definition) bool { return !byDefault(d.audience) }), nil
	}
	var chosen []definition
	for _, n := range names {
		i := slices.IndexFunc(all, func(d definition) bool { return d.name == n })
		if i < 0 {
			return nil, fmt.Errorf("no image is called %q; there are %s", n, strings.Join(imageNames(all), ", "))
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

func imageNames(definitions []definition) []string {
	names := make([]string, 0, len(definitions))
	for _, d := range definitions {
		names = append(names, d.name)
	}
	return names
}
