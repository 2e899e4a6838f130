// Command kinward is a DNS resolver for families: it keeps children's devices
// away from stranger chat, dating and other known-risk services, and tells the
// guardians, in plain words, what was attempted.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	_ "time/tzdata" // schedules and incidents need zones where the system has none
)

// Exit codes, the same for every command.
const (
	exitOK      = 0
	exitFailed  = 1 // what was asked for could not be done, or a check found a fault
	exitUsage   = 2 // the command line or the configuration is wrong
	exitNothing = 3 // nothing there: no such list, device or rule
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run executes one command and returns its exit code.
func run(ctx context.Context, args []string, stdout, stderr *os.File) int {
	root := newRoot(stdout, stderr)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	var coded *codedError
	if !errors.As(err, &coded) {
		fmt.Fprintf(stderr, "kinward: %v\n", err)
		return exitFailed
	}
	if coded.err != nil {
		fmt.Fprintf(stderr, "kinward: %v\n", strings.ReplaceAll(coded.err.Error(), callMe, program()))
	}
	return coded.code
}

// codedError is an error that chooses the exit code. With a nil err the command
// has already said all there is to say.
type codedError struct {
	code int
	err  error
}

func (e *codedError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *codedError) Unwrap() error { return e.err }

func usageError(err error) error { return &codedError{exitUsage, err} }
