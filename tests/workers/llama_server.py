"""A stand-in for llama.cpp's `llama-server` program: its flags, on the same server from the wheel."""

import argparse
import os
import threading

import xllamacpp

parser = argparse.ArgumentParser()
for flag in ("-m", "--host"):
    parser.add_argument(flag, required=True)
for flag in ("--port", "-c", "-np", "-b", "-ub", "-t", "-tb", "--threads-http", "--cache-ram"):
    parser.add_argument(flag, type=int, required=True)
for flag in ("--no-kv-unified", "--swa-full", "--no-warmup", "--no-ui", "--no-jinja"):
    parser.add_argument(flag, action="store_true", required=True)
parser.add_argument("--no-repack", action="store_true")
parser.add_argument("--chat-template", choices=["chatml"], required=True)
told = parser.parse_args()

params = xllamacpp.CommonParams()
params.model.path = told.m
params.port, params.hostnames = told.port, [told.host]
params.n_ctx, params.n_parallel, params.n_batch, params.n_ubatch = told.c, told.np, told.b, told.ub
params.cpuparams.n_threads, params.cpuparams_batch.n_threads = told.t, told.tb
params.api_keys = [os.environ["LLAMA_API_KEY"]]
params.cache_ram_mib, params.swa_full, params.warmup, params.verbosity = told.cache_ram, True, False, 0
server = xllamacpp.Server(params)
threading.Event().wait()
