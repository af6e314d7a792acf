"""The name C{crossws} among the commands of C{twistd}."""

from twisted.application.service import ServiceMaker

crossws = ServiceMaker("crossws", "twisted_crossws.tap", "Clustered WebSockets: events, replies, rooms.", "crossws")
