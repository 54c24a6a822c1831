"""The examination of a site: `checks` lists what is looked at, a module for each subject looks and judges.

Each subject has two kinds of functions: some look (files, sockets, programs), others judge what was seen.
Judges are pure, so that each judgement can be tested without the thing that it is about.
"""
