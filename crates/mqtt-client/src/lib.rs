//! An async MQTT client: a cloneable handle and a driver that reconnects and resumes
