package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"sync"
	"time"

	"github.com/creack/pty"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	utilexec "k8s.io/utils/exec"
)

// machine stands for every container: this machine.
type machine struct{ directory, attach string }

// ExecInContainer runs a command; its error is the command's exit code.
func (m *machine) ExecInContainer(ctx context.Context, _, _, _ string, argv []string, in io.Reader,
	out, errors io.WriteCloser, tty bool, resize <-chan remotecommand.TerminalSize, _ time.Duration) error {
	if len(argv) == 0 {
		return fmt.Errorf("no command")
	}
	command := exec.CommandContext(ctx, argv[0], argv[1:]...)
	command.Dir = m.directory
	if tty {
		return inTerminal(command, in, out, resize)
	}
	return withPipes(command, in, out, errors)
}

// AttachContainer reaches what "runs already".
func (m *machine) AttachContainer(ctx context.Context, name, uid, container string, in io.Reader,
	out, errors io.WriteCloser, tty bool, resize <-chan remotecommand.TerminalSize) error {
	argv := []string{"sh", "-c", m.attach}
	return m.ExecInContainer(ctx, name, uid, container, argv, in, out, errors, tty, resize, 0)
}

// PortForward connects to a port of this machine.
func (m *machine) PortForward(ctx context.Context, _, _ string, port int32, stream io.ReadWriteCloser) error {
	dialer := net.Dialer{Timeout: 5 * time.Second}
	connection, err := dialer.DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return err
	}
	defer connection.Close()
	go func() {
		io.Copy(connection, stream)
		connection.(*net.TCPConn).CloseWrite()
	}()
	_, err = io.Copy(stream, connection)
	return err
}

func withPipes(command *exec.Cmd, in io.Reader, out, errors io.WriteCloser) error {
	if in != nil {
		// Not command.Stdin: Wait would wait for the end of input, which a client that only reads never sends.
		pipe, err := command.StdinPipe()
		if err != nil {
			return err
		}
		go func() {
			io.Copy(pipe, in)
			pipe.Close()
		}()
	}
	if out != nil {
		command.Stdout = writer{out, command}
	}
	if errors != nil {
		command.Stderr = writer{errors, command}
	}
	return code(command.Run())
}

func inTerminal(command *exec.Cmd, in io.Reader, out io.Writer, resize <-chan remotecommand.TerminalSize) error {
	terminal, err := pty.Start(command)
	if err != nil {
		return err
	}
	defer terminal.Close()
	go func() {
		for size := range resize {
			pty.Setsize(terminal, &pty.Winsize{Rows: size.Height, Cols: size.Width})
		}
	}()
	if in != nil {
		go func() {
			io.Copy(terminal, in)
			command.Process.Kill() // the client is gone
		}()
	}
	var printed sync.WaitGroup
	if out != nil {
		printed.Go(func() { io.Copy(out, terminal) })
	}
	ended := command.Wait()
	printed.Wait()
	return code(ended)
}

// writer ends a command whose output nobody takes any more.
type writer struct {
	io.Writer
	command *exec.Cmd
}

func (w writer) Write(data []byte) (int, error) {
	written, err := w.Writer.Write(data)
	if err != nil {
		w.command.Process.Signal(os.Kill)
	}
	return written, err
}

func code(err error) error {
	var exited *exec.ExitError
	if errors.As(err, &exited) {
		return utilexec.CodeExitError{Err: err, Code: exited.ExitCode()}
	}
	return err
}
