// Command kinward is a DNS resolver for families: it keeps children's devices
// away from stranger chat, dating and other known-risk services, and tells the
// guardians, in plain words, what was attempted.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // schedules and incidents need zones where the system has none

	"github.com/spf13/pflag"
)

// Exit codes, the same for every command.
const (
	exitOK      = 0
	exitFailed  = 1 // what was asked for could not be done, or a check found a fault
	exitUsage   = 2 // the command line or the configuration is wrong, or what is to be made is there already
	exitNothing = 3 // what was named does not exist: a device, a list, a category, a file, a data folder
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run executes one command and returns its exit code.
func run(ctx context.Context, args []string, stdout, stderr *os.File) int {
	c := &cli{out: stdout, err: stderr}
	root := c.root()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	code := exitFailed
	var coded *codedError
	if errors.As(err, &coded) {
		code, err = coded.code, coded.err
	}
	if err != nil {
		if c.prefix == "" { // the command line was wrong, but what of it names the data folder may be right
			c.prefix = prefixOf(args)
		}
		fmt.Fprintf(stderr, "kinward: %s\n", c.calledInError(root, err.Error()))
	}
	return code
}

// prefixOf is how to call this program with the data folder that a command line
// names, whatever else is wrong with it.
func prefixOf(args []string) string {
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.ParseErrorsAllowlist.UnknownFlags = true
	path := flags.String("config", os.Getenv("KINWARD_CONFIG"), "")
	flags.String("data", "", "")
	if flags.Parse(args) == nil {
		if cfg, err := loadConfig(*path, flags, os.Environ()); err == nil {
			return commandPrefix(cfg, flags)
		}
	}
	return program()
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

// namedFile is an error about a file that a person named.
func namedFile(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return &codedError{exitNothing, err}
	}
	return err
}

func usageError(err error) error { return &codedError{exitUsage, err} }
