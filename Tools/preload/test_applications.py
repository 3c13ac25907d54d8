"""Well-known packages, imported and exercised; skipped where they are missing."""

import http.client
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest
import urllib.request

from helpers import LIBRARY, PACKAGE, Programs, for_each_interpreter

FAR_SECONDS = 600       # before a server is said not to start, or to end
SERVED_WITH = "", "background=1"        # values of PYTHONOBMALLOC


@for_each_interpreter
class Applications(Programs):

    settings = ""

    def exercise(self, module, text):
        """Run the program preloaded, with checks, and with install(); it ends with the heap verified."""
        self.needs_module(module)
        end = "\nimport obmalloc\nobmalloc.check()\nprint(serves())\n"
        text = self.code(text) + end
        for options in {"LD_PRELOAD": str(LIBRARY)}, {"LD_PRELOAD": str(LIBRARY), "PYTHONOBMALLOC": "check=2,retain=none"}:
            self.assertEqual(self.run_python("-W", "ignore", "-c", text, errors=None, **options).split()[-1], "True")
        if not self.python.debug:
            text = "import obmalloc\nassert obmalloc.install()\n" + text
            self.assertEqual(self.run_python("-W", "ignore", "-c", text, errors=None).split()[-1], "True")

    def test_numpy(self):
        self.exercise("numpy", """
            import numpy
            for size in range(1, 300, 7):
                matrix = numpy.arange(size * size, dtype=float).reshape(size, size)
                assert (matrix @ numpy.eye(size) == matrix).all()
            objects = numpy.array([str(i) for i in range(10_000)], dtype=object)
            objects[::2] = None
            records = numpy.array([(i, str(i)) for i in range(1000)], dtype=[('a', 'i4'), ('b', 'U8')])
            assert records[7]['b'] == '7'
            """)

    def test_pandas(self):
        self.exercise("pandas", """
            import pandas
            frame = pandas.DataFrame({'k': [i % 97 for i in range(20_000)], 's': [str(i) for i in range(20_000)]})
            grouped = frame.groupby('k')['s'].agg(['count', 'max'])
            assert len(grouped) == 97 and grouped['count'].sum() == 20_000
            merged = frame.merge(frame.drop_duplicates('k'), on='k')
            assert len(merged) == 20_000
            """)

    def test_lxml(self):
        self.exercise("lxml.etree", """
            from lxml import etree
            text = '<r>' + ''.join(f'<e n="{i}"><v>{i * i}</v></e>' for i in range(5000)) + '</r>'
            for _ in range(3):
                tree = etree.fromstring(text)
                assert len(tree.xpath('//e[@n="77"]/v/text()')) == 1
                del tree[::2]
            """)

    def test_sqlalchemy(self):
        self.exercise("sqlalchemy", """
            import sqlalchemy as sa
            engine = sa.create_engine('sqlite://')
            table = sa.Table('t', sa.MetaData(), sa.Column('id', sa.Integer, primary_key=True), sa.Column('s', sa.String))
            table.metadata.create_all(engine)
            with engine.begin() as connection:
                connection.execute(table.insert(), [{'id': i, 's': str(i)} for i in range(5000)])
                rows = connection.execute(sa.select(table).where(table.c.id % 7 == 0)).all()
            assert len(rows) == 715
            """)

    def test_django(self):
        self.exercise("django", """
            import django
            from django.conf import settings
            settings.configure(TEMPLATES=[{'BACKEND': 'django.template.backends.django.DjangoTemplates'}])
            django.setup()
            from django.template import Context, Template
            page = Template('{% for row in rows %}{{ row.n }}:{{ row.s|upper }};{% endfor %}')
            text = page.render(Context({'rows': [{'n': i, 's': f'x{i}'} for i in range(2000)]}))
            assert text.endswith('1999:X1999;')
            """)

    def test_asyncio_server(self):
        self.exercise("asyncio", """
            import asyncio
            async def answer(reader, writer):
                count = int(await reader.readline())
                writer.write(b''.join(b'%d,' % i for i in range(count)) + b'\\n')
                await writer.drain()
                writer.close()
            async def ask(port, count):
                reader, writer = await asyncio.open_connection('127.0.0.1', port)
                writer.write(b'%d\\n' % count)
                line = await reader.readline()
                writer.close()
                return line.count(b',')
            async def main():
                server = await asyncio.start_server(answer, '127.0.0.1', 0)
                port = server.sockets[0].getsockname()[1]
                counts = await asyncio.gather(*[ask(port, i) for i in range(100)])
                assert counts == list(range(100)), counts
            asyncio.run(main())
            """)

    def test_memray_after(self):
        # Its hooks in front of ours, and taken out again.
        self.exercise("memray", """
            import memray, os, tempfile
            with tempfile.TemporaryDirectory() as folder:
                for trace in False, True:
                    path = os.path.join(folder, str(trace))
                    with memray.Tracker(path, trace_python_allocators=trace):
                        kept = [str(i) for i in range(20_000)]
                    del kept[::2]
                    assert memray.FileReader(path).metadata.total_allocations > 0
            """)

    def test_install_under_memray(self):
        self.needs_module("memray")
        self.needs(not self.python.debug, "a debug build has its hooks in force anyway")
        printed = self.run_code("""
            import memray, obmalloc, os, tempfile, warnings
            warnings.simplefilter('ignore')
            with tempfile.TemporaryDirectory() as folder:
                with memray.Tracker(os.path.join(folder, 'file'), trace_python_allocators=True):
                    under = obmalloc.install()
                    kept = [str(i) for i in range(20_000)]
            print(under, obmalloc.install(), serves())
            """, errors=None)
        self.assertEqual(printed, "False True True")

    def folder_with(self, name, text):
        """A folder that goes with the test, with a program in it that may use serves()."""
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        with open(os.path.join(folder, name), "w") as file:
            file.write(self.code(text))
        return folder

    def start(self, command, folder, **variables):
        """Start a server in a folder, from which it can import, as well as obmalloc."""
        return subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True,
            env=self.environment(PYTHONPATH=os.pathsep.join([str(PACKAGE), folder]), **variables))

    def stop(self, server):
        """End it, and return what it wrote on stderr."""
        server.send_signal(signal.SIGTERM)
        return server.communicate(timeout=FAR_SECONDS)[1]

    service = """
        shared = [str(i) for i in range(100_000)]
        def application(environment, start):
            import obmalloc
            kept = [(i, shared[i]) for i in range(50_000)]
            obmalloc.check()
            start('200 OK', [('Content-Type', 'text/plain')])
            return [str(serves()).encode()]
        """

    def serve(self, port, command, **variables):
        """Start a server of the service, expect 30 good answers, and that it ends well; with each setting."""
        folder = self.folder_with("service.py", self.service)
        for setting in SERVED_WITH:
            server = self.start(command, folder, PYTHONOBMALLOC=setting, **variables)
            try:
                answers = [self.ask(port, server) for _ in range(30)]
            finally:
                errors = self.stop(server)
            self.assertEqual((setting, set(answers), server.returncode), (setting, {b"True"}, 0), errors)

    @staticmethod
    def free_port():
        with socket.create_server(("127.0.0.1", 0)) as probe:
            return probe.getsockname()[1]

    def test_gunicorn_prefork(self):
        self.needs_module("gunicorn.app.wsgiapp")
        port = self.free_port()
        self.serve(port, [
            self.python.path, "-m", "obmalloc", "run", "-m", "gunicorn", "--preload", "--workers", "2",
            "--max-requests", "5", "--timeout", "600", "--bind", f"127.0.0.1:{port}", "--log-level", "error", "service:application"])

    def test_uwsgi_prefork(self):
        # A program of its own, in which Python is embedded.
        program = os.path.join(os.path.dirname(self.python.path), "uwsgi")
        self.needs(os.access(program, os.X_OK), "no uwsgi beside this interpreter")
        port = self.free_port()
        self.serve(port, [
            program, "--master", "--processes", "2", "--max-requests", "5", "--need-app", "--die-on-term",
            "--virtualenv", self.python.prefix, "--http-socket", f"127.0.0.1:{port}", "--wsgi-file", "service.py",
            "--disable-logging"], LD_PRELOAD=str(LIBRARY))

    def test_celery_prefork(self):
        self.needs_module("celery")
        folder = self.folder_with("tasks.py", """
            import os
            from celery import Celery
            here = os.path.dirname(os.path.abspath(__file__))
            app = Celery('tasks', broker='filesystem://', backend='file://' + here)
            app.conf.broker_transport_options = {
                name: here for name in ('data_folder_in', 'data_folder_out', 'control_folder')}
            @app.task
            def work(number):
                import obmalloc
                kept = [(i, str(i)) for i in range(50_000)]
                obmalloc.check()
                return str(serves())
            if __name__ == '__main__':
                import tasks
                results = [tasks.work.delay(i) for i in range(20)]
                print(*{result.get(timeout=250) for result in results})
            """)
        command = [
            self.python.path, "-m", "obmalloc", "run", "-m", "celery", "--app", "tasks", "worker", "--pool",
            "prefork", "--concurrency", "2", "--max-tasks-per-child", "5", "--loglevel", "ERROR",
            "--without-gossip", "--without-mingle"]
        for setting in SERVED_WITH:
            worker = self.start(command, folder, PYTHONOBMALLOC=setting)
            try:
                said = self.run_python(os.path.join(folder, "tasks.py"), errors=None)
            finally:
                errors = self.stop(worker)
            self.assertEqual((setting, said.split(), worker.returncode), (setting, ["True"], 0), errors)

    def ask(self, port, server):
        """The server's answer; it may still be starting, or replacing a worker."""
        end = time.monotonic() + FAR_SECONDS
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=FAR_SECONDS) as answer:
                    return answer.read()
            except (OSError, http.client.HTTPException):
                if time.monotonic() > end or server.poll() is not None:
                    raise
                time.sleep(0.1)


if __name__ == "__main__":
    unittest.main()
