"""Programs of the laboratory that run, and say one JSON object a line."""

import json
import os
import signal
import subprocess
import threading
import time

import world as w


class Party:
    """A program inside a space. What it says is kept, and can be waited for."""

    def __init__(self, name, *words):
        self.words, self.said, self.errors = words, [], []
        self.heard = threading.Condition()
        self.process = subprocess.Popen(w.inside(name, *words), stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for pipe, keep in ((self.process.stdout, self.line), (self.process.stderr, self.errors.append)):
            threading.Thread(target=self.listen, args=(pipe, keep), daemon=True).start()

    @staticmethod
    def listen(pipe, keep):
        for line in pipe:
            keep(line.rstrip())

    def line(self, text):
        try:
            said = json.loads(text)
        except ValueError:
            said = {"type": "text", "text": text}
        said["heard_at"] = time.monotonic()
        with self.heard:
            self.said.append(said)
            self.heard.notify_all()

    def wait(self, what, seconds, since=0):
        """The first thing said since then for which `what` holds; fails if there is none in time."""
        deadline = time.monotonic() + seconds
        with self.heard:
            while True:
                for said in self.said[since:]:
                    if what(said):
                        return said
                left = deadline - time.monotonic()
                if left <= 0:
                    said = [*self.said[-3:], *self.errors[-3:]]
                    raise RuntimeError(f"{' '.join(self.words[:4])}… said nothing of it: {said}")
                self.heard.wait(left)

    def event(self, name, seconds, since=0):
        return self.wait(lambda said: said.get("event") == name, seconds, since)

    def all(self, name):
        with self.heard:
            return [said for said in self.said if said.get("event") == name]

    def stop(self, how=signal.SIGINT, seconds=15):
        """Ends it by a signal and waits for its end; its exit code."""
        if self.process.poll() is None:
            os.kill(self.process.pid, how)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()
